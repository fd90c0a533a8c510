// Package e2e has the end-to-end tests: what «make build» built, in real browsers, against real leaves
// and servers. It has no code of its own to import.
//
// The tests need bin/kinopio-hub, npm/dist and npm/node_modules, Chromium, Firefox, WebKitGTK's
// MiniBrowser (Debian: webkit2gtk-driver, xvfb), certutil (libnss3-tools) and Node. They wait for
// conditions, never for a time to pass, and leave no process behind. Screenshots go to e2e/out; with KINOPIO_E2E_PICTURE=1 the README's picture
// goes to docs/demo.png.
package e2e
