//go:build !unix

package leaf

import (
	"errors"
	"io/fs"
)

const safely = 0

// ownDir: the directories of a user's profile are that user's, which no mode bit shows.
func ownDir(info fs.FileInfo) error {
	if !info.IsDir() {
		return errors.New("is not a directory")
	}
	return nil
}
