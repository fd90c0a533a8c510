package tlsca

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"strings"
)

// Formats are what [CA.Export] can write.
var Formats = []string{"pem", "der", "mobileconfig"}

// Export returns the root certificate, without its key, for another device: pem for
// most programs, der for Android and Windows, mobileconfig for iPhones, iPads and Macs
// (a profile; on an iPhone its user must also switch the root on, under Settings,
// General, About, Certificate Trust Settings).
func (ca *CA) Export(format string) ([]byte, error) {
	switch format {
	case "pem":
		return ca.RootPEM(), nil
	case "der":
		return bytes.Clone(ca.root.Raw), nil
	case "mobileconfig":
		return ca.mobileConfig(), nil
	}
	return nil, fmt.Errorf("export root: format %q: use one of %s", format, strings.Join(Formats, ", "))
}

// mobileConfig is Apple's configuration profile with one root payload (Configuration
// Profile Reference, «Certificate Payload»). The same root gives the same profile, so
// that installing it again replaces it.
func (ca *CA) mobileConfig() []byte {
	name := escaped(ca.root.Subject.CommonName)
	fp := ca.Fingerprint()
	return fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>PayloadContent</key>
	<array>
		<dict>
			<key>PayloadCertificateFileName</key>
			<string>root-ca.cer</string>
			<key>PayloadContent</key>
			<data>%s</data>
			<key>PayloadDisplayName</key>
			<string>%s</string>
			<key>PayloadIdentifier</key>
			<string>kinopio-hub.leaf-ca.%s.root</string>
			<key>PayloadType</key>
			<string>com.apple.security.root</string>
			<key>PayloadUUID</key>
			<string>%s</string>
			<key>PayloadVersion</key>
			<integer>1</integer>
		</dict>
	</array>
	<key>PayloadDescription</key>
	<string>Lets this device trust the KinopioHub leaves of one machine. The root may sign for servers at private addresses, names below .local, localhost and the names that were in use when it was made, and for nothing else.</string>
	<key>PayloadDisplayName</key>
	<string>%s</string>
	<key>PayloadIdentifier</key>
	<string>kinopio-hub.leaf-ca.%s</string>
	<key>PayloadType</key>
	<string>Configuration</string>
	<key>PayloadUUID</key>
	<string>%s</string>
	<key>PayloadVersion</key>
	<integer>1</integer>
</dict>
</plist>
`, base64.StdEncoding.EncodeToString(ca.root.Raw), name, fp[:16], uuidOf(fp[:32]), name, fp[:16], uuidOf(fp[32:]))
}

// uuidOf writes 32 hexadecimal digits as a UUID of version 8 (RFC 9562: free of form).
func uuidOf(hex string) string {
	hex = hex[:12] + "8" + hex[13:16] + "8" + hex[17:]
	return strings.ToUpper(hex[:8] + "-" + hex[8:12] + "-" + hex[12:16] + "-" + hex[16:20] + "-" + hex[20:])
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // A Builder takes everything.
	return b.String()
}
