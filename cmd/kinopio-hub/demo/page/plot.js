const SECONDS = 8;

/** Draws a live value (from -1 to 1) over the last eight seconds onto canvas. */
export class Plot {
  #canvas;
  #points = []; // [time in ms, value], oldest first
  #asked = false;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#ask()).observe(canvas);
  }

  add(value) {
    const now = performance.now();
    this.#points.push([now, value]);
    while (this.#points.length > 0 && this.#points[0][0] < now - SECONDS * 1000 - 500) this.#points.shift();
    this.#ask();
  }

  #ask() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
    });
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = window.devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(width * scale) || this.#canvas.height !== Math.round(height * scale)) {
      this.#canvas.width = Math.round(width * scale);
      this.#canvas.height = Math.round(height * scale);
    }
    const style = getComputedStyle(document.body);
    const ink = this.#canvas.getContext("2d");
    ink.setTransform(scale, 0, 0, scale, 0, 0);
    ink.clearRect(0, 0, width, height);
    ink.strokeStyle = style.getPropertyValue("--line");
    ink.lineWidth = 1;
    ink.beginPath();
    ink.moveTo(0, Math.round(height / 2) + 0.5);
    ink.lineTo(width, Math.round(height / 2) + 0.5);
    ink.stroke();
    if (this.#points.length === 0) return;

    const now = performance.now();
    const right = width - 14;
    const x = (time) => right - ((now - time) / (SECONDS * 1000)) * right;
    const y = (value) => height / 2 - value * (height / 2 - 12);
    ink.strokeStyle = ink.fillStyle = style.getPropertyValue("--lit");
    ink.lineWidth = 2;
    ink.lineJoin = ink.lineCap = "round";
    ink.beginPath();
    let before = 0;
    for (const [time, value] of this.#points) {
      // A gap in time is a gap in the line: nothing arrived.
      if (time - before > 400) ink.moveTo(x(time), y(value));
      else ink.lineTo(x(time), y(value));
      before = time;
    }
    ink.stroke();
    const [time, value] = this.#points[this.#points.length - 1];
    ink.beginPath();
    ink.arc(x(time), y(value), 4, 0, 2 * Math.PI);
    ink.fill();
  }
}
