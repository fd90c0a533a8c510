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
  const bound = new Map<PropertyKey, unknown>();
  return new Proxy(own, {
    get(target, name) {
      if (name in target) return target[name];
      const value = (globalThis as any)[name];
      // Functions of the page such as fetch insist on the page's own global as «this».
      if (typeof value !== "function" || "prototype" in value) return value;
      if (!bound.has(name)) bound.set(name, value.bind(globalThis));
      return bound.get(name);
    },
    set(target, name, value) {
      target[name] = value;
      return true;
    },
    has: (target, name) => name in target || name in globalThis,
  });
}
