package tlsca

import (
	"errors"
	"fmt"
	"regexp"
)

// nssCode is how NSS names what is wrong (its secerr.h, and prerr.h below it).
var nssCode = regexp.MustCompile(`\b(SEC|SSL|PR)_[A-Z0-9_]+\b`)

// nssCauses say what a code means for who wants to trust a root, and what to do.
var nssCauses = map[string]string{
	"SEC_ERROR_BAD_PASSWORD":         "is protected by a password (the browser's primary password), which is not asked for here: add the root in the browser's settings (certificates, authorities)",
	"SEC_ERROR_READ_ONLY":            "is read-only for this user: let its owner do it, or make its files writable",
	"SEC_ERROR_BAD_DATABASE":         "cannot be opened by this user, or is no certificate database: let its owner do it",
	"SEC_ERROR_PKCS11_GENERAL_ERROR": "is in use by another program, or damaged: close the browsers that use it and try again",
	"SEC_ERROR_LOCKED_PASSWORD":      "is locked: unlock it in the browser and try again",
	"SEC_ERROR_BUSY":                 "is in use by another program: close the browsers that use it and try again",
	"PR_NO_DEVICE_SPACE_ERROR":       "cannot grow: the disk is full",
}

// nssError is a failure of certutil in words. The program's own are in what it wraps.
type nssError struct {
	text string
	err  error
}

func (e *nssError) Error() string { return e.text }
func (e *nssError) Unwrap() error { return e.err }

// nssTrouble says what certutil's failure at the database in dir means; err itself if that is not known.
func nssTrouble(dir string, err error) error {
	var failed *CommandError
	if !errors.As(err, &failed) {
		return err
	}
	for _, code := range nssCode.FindAllString(failed.Said, -1) {
		if cause := nssCauses[code]; cause != "" {
			return &nssError{fmt.Sprintf("the certificate database in %s %s (%s)", dir, cause, code), err}
		}
	}
	return err
}
