package tlsca

import "context"

// windowsRoot is the Windows user's own store of trusted roots, which Edge, Chrome
// and, since version 120, Firefox follow. Windows asks before a root goes in or out.
type windowsRoot struct{ m Machine }

func (w *windowsRoot) Info() StoreInfo {
	return StoreInfo{Kind: "windows-root", Name: "the user's trusted roots (certmgr.msc)", Browsers: true, Asks: true}
}

func (w *windowsRoot) certutil(ctx context.Context, args ...string) error {
	path, err := w.m.Runner.Find("certutil.exe")
	if err != nil {
		return err
	}
	_, err = w.m.Runner.Run(ctx, Command{Path: path, Args: append([]string{"-user"}, args...)})
	return err
}

func (w *windowsRoot) Contains(ctx context.Context, a Anchor) (bool, error) {
	err := w.certutil(ctx, "-store", "Root", a.SHA1)
	return err == nil, commandFailed(ctx, err)
}

func (w *windowsRoot) Install(ctx context.Context, a Anchor) error {
	if !w.m.Prompt {
		return ErrNeedsPerson
	}
	return w.certutil(ctx, "-addstore", "Root", a.File)
}

func (w *windowsRoot) Remove(ctx context.Context, a Anchor) error {
	if !w.m.Prompt {
		return ErrNeedsPerson
	}
	return w.certutil(ctx, "-delstore", "Root", a.SHA1)
}
