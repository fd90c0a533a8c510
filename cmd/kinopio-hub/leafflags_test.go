package main

import (
	"strings"
	"testing"
)

func FuzzUsersFileNeverPanics(f *testing.F) {
	f.Add("ada:her-password\nbob:another:one\n# nobody\n")
	f.Add("\n:\r\nname\x00:")
	f.Fuzz(func(t *testing.T, text string) {
		users, _ := parseUsers(text)
		for _, u := range users {
			if u.Name == "" || u.Password == "" || strings.Contains(u.Name, ":") || !strings.Contains(text, u.Name+":"+u.Password) {
				t.Errorf("%q is not a line of the file", u)
			}
		}
	})
}
