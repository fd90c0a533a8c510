package leaf

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/webtransport-go"
)

const (
	// A peer that takes nothing for so long is cut, as nats-server does with a socket's.
	wtSlow = 10 * time.Second
	// For so long a peer may take to read the end.
	wtLast = 2 * time.Second

	wtBufferFirst, wtBufferMost = 4 << 10, 64 << 10
)

// carry moves bytes between the stream of a session, which the leaf opens, and a connection of
// the server, until one of them ends. The server's end is told by FIN: what was written before
// arrives, which an error code would not let it, and no browser shows.
func (l *wtListener) carry(session *webtransport.Session, conn *quic.Conn, backend *net.TCPConn) {
	if _, err := io.WriteString(backend, proxyLine(conn.RemoteAddr(), conn.LocalAddr())); err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(session.Context(), wtHandshake)
	stream, err := session.OpenStreamSync(ctx)
	cancel()
	if err != nil {
		return
	}
	l.log.Debug("webtransport: session begins", "from", conn.RemoteAddr())
	inward := make(chan struct{})
	go func() {
		defer close(inward)
		to := newBacker(backend)
		defer to.end()
		_ = pump(to, stream)
		_ = backend.CloseWrite() // The server closes then, and tells those who wait for this client.
	}()
	err = pump(patient{stream}, backend)
	if err == nil {
		_ = stream.Close()
		select { // Until the peer has read it, and closes.
		case <-session.Context().Done():
		case <-inward:
		case <-time.After(wtLast):
		case <-l.ctx.Done():
		}
	} else {
		stream.CancelWrite(0)
	}
	backend.Close()
	stream.CancelRead(0)
	_ = session.CloseWithError(0, "")
	<-inward
	l.log.Debug("webtransport: session ends", "from", conn.RemoteAddr(), "error", err)
}

// pump copies until from ends, and returns why to took no more; nil if it was from that ended. Its
// buffer is small for those who say little, of whom there are many.
func pump(to io.Writer, from io.Reader) error {
	buffer := make([]byte, wtBufferFirst)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
		if n == len(buffer) && n < wtBufferMost {
			buffer = make([]byte, 2*n)
		}
	}
}

// patient cuts a stream whose peer does not read.
type patient struct{ *webtransport.Stream }

func (p patient) Write(b []byte) (int, error) {
	_ = p.SetWriteDeadline(time.Now().Add(wtSlow))
	return p.Stream.Write(b)
}
