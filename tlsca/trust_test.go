package tlsca

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func browserStore(name string) *fakeStore {
	return &fakeStore{info: StoreInfo{Kind: "nss", Name: name, Browsers: true}}
}

func TestOutcomeIsWhatTheStoresShow(t *testing.T) {
	ca := open(t, t.TempDir())
	broken := errors.New("disk is full")
	for name, c := range map[string]struct {
		stores []Store
		want   TrustState
		detail string
	}{
		"taken":          {[]Store{browserStore("a"), browserStore("b")}, TrustInstalled, "a: installed; b: installed"},
		"there already":  {[]Store{&fakeStore{info: StoreInfo{Kind: "nss", Name: "a", Browsers: true}, has: true}}, TrustInstalled, "a: installed"},
		"one failed":     {[]Store{browserStore("a"), &fakeStore{info: StoreInfo{Kind: "nss", Name: "b", Browsers: true}, err: broken}}, TrustFailed, "b: disk is full"},
		"one lied":       {[]Store{&fakeStore{info: StoreInfo{Kind: "nss", Name: "b", Browsers: true}, lies: true}}, TrustFailed, "does not have it"},
		"no rights":      {[]Store{&fakeStore{info: StoreInfo{Kind: "keychain", Name: "k", Browsers: true}, err: ErrNeedsPerson}}, TrustSkipped, "somebody who answers"},
		"system lacking": {[]Store{browserStore("a"), &fakeStore{info: StoreInfo{Kind: "system", Name: "s"}, err: ErrNeedsRights}}, TrustInstalled, "s: needs administrator rights"},
		"system only":    {[]Store{&fakeStore{info: StoreInfo{Kind: "system", Name: "s"}, err: ErrNeedsRights}}, TrustSkipped, "administrator"},
		"no store":       {[]Store{}, TrustSkipped, "no trust store"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ca.InstallTrust(t.Context(), TrustOptions{Stores: c.stores})
			if got.State != c.want || !strings.Contains(got.Detail, c.detail) || got.RequiresUserAction != (c.want != TrustInstalled) {
				t.Errorf("%+v, want %s %q", got, c.want, c.detail)
			}
		})
	}
}

func TestWhatWasTakenOutStaysOutUntilAPersonWantsItBack(t *testing.T) {
	ca := open(t, t.TempDir())
	store := browserStore("a")
	o := TrustOptions{Stores: []Store{store}}
	auto := o
	auto.Automatic = true
	if got := ca.InstallTrust(t.Context(), auto); got.State != TrustInstalled || !got.Attempted {
		t.Fatalf("first start: %+v", got)
	}
	if got := ca.RemoveTrust(t.Context(), o); got.State != TrustSkipped {
		t.Fatalf("uninstall: %+v", got)
	}
	if got := ca.InstallTrust(t.Context(), auto); got.State != TrustSkipped || got.Attempted || !strings.Contains(got.Detail, "uninstall") {
		t.Errorf("a start after uninstall: %+v", got)
	}
	if got := ca.InstallTrust(t.Context(), o); got.State != TrustInstalled {
		t.Errorf("install by hand: %+v", got)
	}
	store.Remove(t.Context(), ca.Anchor()) // By other means: that is seen, and mended.
	if got := ca.InstallTrust(t.Context(), auto); got.State != TrustInstalled || !got.Attempted {
		t.Errorf("a start after install by hand: %+v", got)
	}
}

func TestNobodyIsAskedTwiceByAStart(t *testing.T) {
	ca := open(t, t.TempDir())
	store := &fakeStore{info: StoreInfo{Kind: "keychain", Name: "k", Browsers: true, Asks: true}, err: errors.New("the user said no")}
	auto := TrustOptions{Stores: []Store{store}, Automatic: true}
	for range 3 {
		if got := ca.InstallTrust(t.Context(), auto); got.State == TrustInstalled {
			t.Errorf("%+v", got)
		}
	}
	if store.called() != "install" {
		t.Errorf("asked: %s", store.called())
	}
	auto.Automatic = false
	ca.InstallTrust(t.Context(), auto)
	if store.called() != "install install" {
		t.Errorf("asked: %s", store.called())
	}
	other := open(t, t.TempDir()) // Another root is another question.
	auto.Automatic = true
	other.InstallTrust(t.Context(), auto)
	if store.called() != "install install install" {
		t.Errorf("asked: %s", store.called())
	}
}

func TestSlowStoreIsBounded(t *testing.T) {
	dir := t.TempDir()
	ca := open(t, dir)
	synctest.Test(t, func(t *testing.T) {
		slow, quick := browserStore("slow"), browserStore("quick")
		slow.wait = true
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		begin := time.Now()
		got := ca.InstallTrust(ctx, TrustOptions{Stores: []Store{slow, quick}})
		if took := time.Since(begin); took != 8*time.Second {
			t.Errorf("took %v", took)
		}
		if got.State != TrustFailed || got.Stores[1].State != TrustInstalled || !strings.Contains(got.Detail, "deadline") {
			t.Errorf("%+v", got)
		}
	})
}

// A program of the system that does not end is ended, and what it has begun is not waited for.
func TestProgramThatHangsIsEnded(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the test speaks to a shell")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := system{}.Run(ctx, Command{Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; sleep 9 & wait"}})
	var failed *CommandError
	if !errors.As(err, &failed) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "took too long") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("its child was waited for: %v", took)
	}
}

func TestStartLeavesStoresOfTheWholeMachineAlone(t *testing.T) {
	ca := open(t, t.TempDir())
	system := &fakeStore{info: StoreInfo{Kind: "system", Name: "s", Shared: true}}
	o := TrustOptions{Stores: []Store{browserStore("a"), system}, Automatic: true}
	if got := ca.InstallTrust(t.Context(), o); got.State != TrustInstalled || system.called() != "" || !strings.Contains(got.Detail, "ca install") {
		t.Errorf("%+v", got)
	}
	o.Automatic = false
	if ca.InstallTrust(t.Context(), o); system.called() != "install" {
		t.Errorf("by hand: %q", system.called())
	}
}

func TestKindsSelectStores(t *testing.T) {
	ca := open(t, t.TempDir())
	system := &fakeStore{info: StoreInfo{Kind: "system", Name: "s"}}
	got := ca.InstallTrust(t.Context(), TrustOptions{Stores: []Store{browserStore("a"), system}, Kinds: []string{"nss"}})
	if len(got.Stores) != 1 || system.called() != "" || got.Strategy != "nss" {
		t.Errorf("%+v", got)
	}
}

func TestMemoryThatIsDamagedIsForgotten(t *testing.T) {
	dir := t.TempDir()
	ca := open(t, dir)
	for _, text := range []string{"", "{", "null", `{"fingerprint":"another","removed":true}`, strings.Repeat("x", maxPEMFile*2)} {
		if err := os.WriteFile(filepath.Join(dir, memoryFileName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if m := ca.recall(); m.Removed || m.Fingerprint != ca.Fingerprint() {
			t.Errorf("%.20q: %+v", text, m)
		}
	}
}

func TestExportsHoldTheRootAndNoKey(t *testing.T) {
	ca := open(t, t.TempDir())
	for _, format := range Formats {
		data, err := ca.Export(format)
		if err != nil || len(data) < 300 || strings.Contains(string(data), "PRIVATE") {
			t.Errorf("%s: %d bytes, %v", format, len(data), err)
		}
	}
	profile, _ := ca.Export("mobileconfig")
	again, _ := ca.Export("mobileconfig")
	if string(profile) != string(again) || !plistHas(t, profile, "com.apple.security.root", ca.Root().Raw) {
		t.Errorf("profile: %s", profile)
	}
	if _, err := ca.Export("jks"); err == nil || !strings.Contains(err.Error(), "pem, der, mobileconfig") {
		t.Errorf("got %v", err)
	}
}

func FuzzMemoryNeverPanics(f *testing.F) {
	f.Add([]byte(`{"fingerprint":"x","removed":true,"declined":["a"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, ok := parseMemory(data)
		if ok {
			m.decline(browserStore("a"))
			if !m.declined(browserStore("a")) {
				t.Error("forgot")
			}
		}
	})
}

func FuzzBundleNeverPanics(f *testing.F) {
	f.Add([]byte("# roots\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\nmore"), []byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, bundle, der []byte) {
		bundleHas(bundle, der)
		if len(der) > 0 && !bundleHas(append(certPEM(der), bundle...), der) {
			t.Error("not found")
		}
	})
}
