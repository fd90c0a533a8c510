package tlsca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no mode bits")
	}
	dir := filepath.Join(t.TempDir(), "ca")
	open(t, dir)
	mode := func(path string) fs.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	key := filepath.Join(dir, keyFileName)
	if mode(dir) != 0o700 || mode(key) != 0o600 {
		t.Errorf("modes: dir %v, key %v", mode(dir), mode(key))
	}
	os.Chmod(key, 0o644)
	os.Chmod(dir, 0o755)
	open(t, dir)
	if mode(dir) != 0o700 || mode(key) != 0o600 {
		t.Errorf("modes were not tightened: dir %v, key %v", mode(dir), mode(key))
	}
}

func TestConcurrentOpensGetOneRoot(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	roots := map[string]int{}
	var wg sync.WaitGroup
	note := func(fingerprint string) {
		mu.Lock()
		defer mu.Unlock()
		roots[fingerprint]++
	}
	for range 8 {
		wg.Go(func() {
			ca, err := Open(dir, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			note(ca.Fingerprint())
		})
	}
	for range 3 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), otherProcess+"="+dir)
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("other process: %v", err)
				return
			}
			note(string(out))
		})
	}
	wg.Wait()
	if len(roots) != 1 {
		t.Errorf("roots: %v, want one", roots)
	}
}

func TestDamagedFileIsAClearErrorAndStays(t *testing.T) {
	good := t.TempDir()
	open(t, good)
	whole, err := os.ReadFile(filepath.Join(good, keyFileName))
	if err != nil {
		t.Fatal(err)
	}
	keyBlock, certBlock := pem.Decode(whole)
	otherDir := t.TempDir()
	open(t, otherDir)
	other, _ := os.ReadFile(filepath.Join(otherDir, keyFileName))
	otherKey, _ := pem.Decode(other)

	for name, data := range map[string][]byte{
		"empty":             {},
		"not PEM":           []byte("hello\n"),
		"cut short":         whole[:len(whole)/2],
		"key only":          pem.EncodeToMemory(keyBlock),
		"certificate only":  certBlock,
		"another's key":     append(pem.EncodeToMemory(otherKey), certBlock...),
		"garbage in blocks": []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"too large":         bytes.Repeat([]byte("x"), maxPEMFile+1),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, keyFileName)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, Options{})
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
			if now, _ := os.ReadFile(path); !bytes.Equal(now, data) {
				t.Error("the damaged file was replaced")
			}
		})
	}
}

func TestUnconstrainedRootIsRefused(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, _ := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(key)
	_, _, err := parseRoot(append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), certPEM(der)...))
	if err == nil || !strings.Contains(err.Error(), "whole internet") {
		t.Errorf("got %v", err)
	}
}

func TestPublicCopyIsWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	ca := open(t, dir)
	os.Remove(ca.RootFile())
	open(t, dir)
	if data, err := os.ReadFile(ca.RootFile()); err != nil || !bytes.Equal(data, ca.RootPEM()) {
		t.Errorf("after removal: %v", err)
	}
}

func TestOpenSaysWhatIsWrongWithTheDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	for _, dir := range []string{"", file, filepath.Join(file, "below")} {
		if _, err := Open(dir, Options{}); err == nil || !strings.HasPrefix(err.Error(), "open CA") {
			t.Errorf("%q: %v", dir, err)
		}
	}
}

func FuzzRootFileNeverPanics(f *testing.F) {
	dir := f.TempDir()
	if _, err := Open(dir, Options{}); err != nil {
		f.Fatal(err)
	}
	good, _ := os.ReadFile(filepath.Join(dir, keyFileName))
	f.Add(good)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, root, err := parseRoot(data)
		if err == nil && (key == nil || root == nil) {
			t.Error("no error and no root")
		}
	})
}
