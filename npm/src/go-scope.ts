// What Go sees as its global object: the page's, plus the few Node things that Go's runtime
// asks for, which therefore need not be added to the page.

const notImplemented = () => Object.assign(new Error("not implemented"), { code: "ENOSYS" });

/** Go's standard output and error go to `line`, line by line; there are no files. */
export function makeFileSystem(line: (text: string) => void): object {
  const decoder = new TextDecoder();
  let rest = "";
  const own: Record<string, unknown> = {
    constants: { O_WRONLY: -1, O_RDWR: -1, O_CREAT: -1, O_TRUNC: -1, O_APPEND: -1, O_EXCL: -1, O_DIRECTORY: -1 },
    writeSync(_fd: number, bytes: Uint8Array): number {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop()!;
      lines.forEach(line);
      return bytes.length;
    },
    write(fd: number, bytes: Uint8Array, offset: number, length: number, _position: unknown, done: Function): void {
      done(null, (own.writeSync as Function)(fd, bytes.subarray(offset, offset + length)));
    },
    fsync(_fd: number, done: Function): void {
      done(null);
    },
  };
  return new Proxy(own, {
    get: (target, name) =>
      name in target
        ? target[name as string]
        : (...args: unknown[]) => {
            const done = args[args.length - 1];
            if (typeof done === "function") done(notImplemented());
            else throw notImplemented();
          },
  });
}

/** The object that stands for globalThis in Go. */
export function makeScope(fs: object): object {
  const own: Record<PropertyKey, unknown> = {
    fs,
    path: { resolve: (...segments: string[]) => segments.join("/") },
    process: {
      pid: -1,
      ppid: -1,
      getuid: () => -1,
      getgid: () => -1,
      geteuid: () => -1,
      getegid: () => -1,
      getgroups: () => { throw notImplemented(); },
      umask: () => { throw notImplemented(); },
      cwd: () => { throw notImplemented(); },
      chdir: () => { throw notImplemented(); },
    },
  };
  // By what they are made of: a page may replace its functions at any time, and with functions of every kind.
  const bound = new WeakMap<object, unknown>();
  return new Proxy(own, {
    get(target, name) {
      if (name in target) return target[name];
      const value = (globalThis as any)[name];
      if (typeof value !== "function") return value;
      // Called, it has the page's own global as «this», on which the browser's functions insist; for
      // classes nothing changes. What is replaced while Go has it goes on as it was.
      let callable = bound.get(value);
      if (!callable) bound.set(value, (callable = new Proxy(value, { apply: (called, _, given) => Reflect.apply(called, globalThis, given) })));
      return callable;
    },
    set(target, name, value) {
      target[name] = value;
      return true;
    },
    has: (target, name) => name in target || name in globalThis,
  });
}
