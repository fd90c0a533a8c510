//go:build js

package wtjs

// Counted returns d with a counter of the js.Funcs that its streams hold.
func Counted(d Dialer) (Dialer, func() int) {
	d.funcs = &funcs{}
	return d, func() int { return d.funcs.live }
}
