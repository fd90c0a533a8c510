/** The stable names of what can go wrong; {@link KinopioError.code} is one of them. */
export type KinopioErrorCode =
  | "INVALID_CONFIG" // an option is unknown or has a wrong value
  | "INVALID_NAME" // the name of a scope or variable
  | "INVALID_VALUE" // a value that cannot be sent
  | "MESSAGE_TOO_LARGE" // larger than the server accepts; the message has both sizes
  | "DISCONNECTED" // no connection for as long as the operation may wait
  | "TIMEOUT" // no answer in time
  | "CANCELED" // in Go: the caller's context was canceled
  | "NO_RESPONDERS" // nobody serves this
  | "SERVICE_ERROR" // the service's handler failed; see serviceCode and data
  | "DISPOSED" // the hub was disposed
  | "CONNECT_FAILED" // no server could be reached, or it refused
  | "MOVE_FAILED" // a change of server was not made
  | "PERMISSION_DENIED" // the server does not allow it
  | "SLOW_CONSUMER" // messages came faster than they were used
  | "NO_REPLY" // the message wants no answer
  | "CALLBACK_FAILED" // a callback threw; cause is what it threw
  | "MALFORMED_MESSAGE" // a message with malformed headers came; it was delivered with those that could be read
  | "WASM_LOAD_FAILED" // the .wasm is missing, or is something else
  | "WASM_CRASHED" // the module has ended
  | "LEAF_FAILED" // the native leaf could not be started, or ended
  | "UNKNOWN";

/** Every error of this package. Branch on `code`, which is stable; `message` is for people. */
export class KinopioError extends Error {
  override readonly name = "KinopioError";
  /** What kind of error this is. */
  readonly code: KinopioErrorCode;
  /** Of a SERVICE_ERROR: the code that the service gave, "500" if it gave none. */
  declare readonly serviceCode?: string;
  /** Of a SERVICE_ERROR: the decoded payload of the reply. */
  declare readonly data?: unknown;

  constructor(
    code: KinopioErrorCode,
    message: string,
    details: { cause?: unknown; serviceCode?: string; data?: unknown } = {},
  ) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    this.code = code;
    if (details.serviceCode !== undefined) {
      this.serviceCode = details.serviceCode;
      this.data = details.data;
    }
  }
}

/** The text of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
