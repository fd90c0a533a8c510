package e2e

import (
	"fmt"
	"testing"
)

// nats-server cuts what it has for a browser into frames of 4096 bytes, and the page hands those on
// together. One of exactly that size that nothing follows must not be kept for that, and what comes
// in many must come whole and in order.
func TestFramesThatTheServerCutArriveWholeAndInOrder(t *testing.T) {
	l := newLab(t)
	type seen struct {
		Late, Wrong string
		Alone, Cut  int
	}
	got := eval[seen](l.browser, fmt.Sprintf(`(async () => {
		const frames = [];
		class Counting extends WebSocket {
			constructor(url) {
				super(url);
				this.addEventListener("message", ({ data }) => frames.push(data.byteLength));
			}
		}
		const hub = open({ servers: [%q], WebSocket: Counting });
		await hub.connected();
		const inbox = [];
		let arrived = () => {};
		await hub.page.frames.sub((value) => { inbox.push(value); arrived(); });
		const result = { late: "", wrong: "", alone: 0, cut: 0 };
		for (let size = 4096; size > 4000 && !result.late; size--) {
			await hub.flush(); // nothing is on its way
			frames.length = 0;
			const value = "x".repeat(size);
			const came = new Promise((resolve) => (arrived = resolve));
			const late = new Promise((resolve) => setTimeout(resolve, 5000, "late"));
			hub.page.frames.pub(value);
			if ((await Promise.race([came, late])) === "late") result.late = size + " bytes, in frames of " + frames;
			else if (inbox.pop() !== value) result.wrong = size + " bytes are others";
			if (frames.length === 1 && frames[0] === 4096) result.alone++;
		}
		frames.length = inbox.length = 0;
		const sent = [];
		for (let i = 0; i < 20_000; i++) sent.push(i %% 500 === 0 ? "u" + i + "ä".repeat(i) : "n" + i);
		const all = new Promise((resolve) => (arrived = () => inbox.length === sent.length && resolve()));
		for (const value of sent) hub.page.frames.pub(value);
		await all;
		const at = sent.findIndex((value, i) => value !== inbox[i]);
		if (at >= 0) result.wrong = "message " + at + " is " + String(inbox[at]).slice(0, 20);
		result.cut = frames.filter((size) => size === 4096).length;
		await hub.dispose();
		return result;
	})()`, l.remote.websocket))
	if got.Late != "" || got.Wrong != "" {
		t.Errorf("late: %q, wrong: %q; want neither", got.Late, got.Wrong)
	}
	if got.Alone == 0 || got.Cut == 0 {
		t.Errorf("%d frames of exactly 4096 bytes came alone, %d in many: the test wants some of both", got.Alone, got.Cut)
	}
}
