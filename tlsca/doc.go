// Package tlsca owns a small certificate authority for one machine: a root that
// may only sign for private addresses, loopback, .local and the names in use, and
// short-lived server certificates below it.
//
// The root is made once, kept in one directory and used again by every later
// [Open], so that a browser has to be told to trust it only once. It carries
// critical name constraints (RFC 5280, section 4.2.1.10) and is for servers alone (extended key
// usage serverAuth): whoever steals its key can pass for a server at a private address, a name
// below .local, localhost and the names in use, to the devices that trust the root, and for
// nothing else: no site on the internet, no person (e-mail, clients), no program, no URI.
//
// On disk, below the directory given to [Open] (mode 0700):
//
//   - root-ca-key.pem (0600): the private key and its certificate, in one file, so
//     that no crash can leave one without the other;
//   - root-ca.pem (0644): a copy of the certificate alone, to hand to a trust store;
//   - root-ca-previous.pem (0644): certificates of roots that were replaced, without their keys,
//     until no trust store has them;
//   - root-ca.lock: held while the directory is being opened;
//   - trust.json (0600): that a person took the root out of the trust stores, or did
//     not agree to putting it in.
//
// [CA.InstallTrust], [CA.RemoveTrust] and [CA.CheckTrust] deal with the trust stores of
// the machine: NSS databases (Chromium, Firefox) and the system's bundle on Linux, the
// keychain of macOS, the user's roots of Windows. Each store is edited by the system's
// own program, bounded by a context, and asked afterwards. [Store] and [Runner] are the
// seams for another store and for tests.
//
// github.com/smallstep/truststore does not serve here (v0.13.0): it knows no context, calls
// sudo whether or not somebody can answer, and finds neither the profiles of snap and flatpak
// nor a home without a database.
//
// Nothing here prints, and the environment is read only as os.UserHomeDir and the
// search for programs do.
package tlsca
