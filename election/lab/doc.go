// Package lab makes several hosts of one machine, for the tests of the election: each is a
// network namespace with a cable to a switch, which is a bridge in a namespace of its own.
// Nothing touches the network of the machine itself.
//
//	func TestMain(m *testing.M) {
//		lab.Main(map[string]lab.Role{"talker": talk}) // does not return in a host's process
//		goleak.VerifyTestMain(m)
//	}
//
//	func TestTwoHosts(t *testing.T) {
//		network := lab.New(t) // skips, with the reason, where namespaces cannot be made
//		a, b := network.Host("a"), network.Host("b")
//		p := a.Play("talker", "--loud")
//		p.Await("ready")
//		b.Down()
//	}
//
// A host runs programs with [Host.Command], or the test binary itself in a role with
// [Host.Play]. All ends with the test, also when it failed; what a test that was killed left
// behind, the next New removes.
//
// [Peer] speaks the heartbeats of kinopio-hub 2.1.0 with sockets of its own.
package lab
