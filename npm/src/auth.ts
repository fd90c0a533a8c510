import { KinopioError } from "./errors.js";

/** How a hub shows a server who it is: one way of these. None of it is ever logged. */
export interface Credentials {
  token?: string;
  user?: string;
  pass?: string;
  /** The seed of a user nkey ("SU..."). */
  nkeySeed?: string;
  /** The content of a credentials file: a user JWT and its nkey seed. */
  creds?: string;
}

/** Gives the credentials for a connection that is about to be made to `server`. */
export type Authenticator = (server: string) => Credentials | Promise<Credentials>;

/** What wasm/open.go reads of credentials. */
export interface AuthConfig {
  token?: string;
  user?: string;
  password?: string;
  nkeySeed?: string;
  creds?: string;
}

/**
 * Checks credentials as hub/auth.go does, as far as can be told at once.
 *
 * @throws KinopioError INVALID_CONFIG, which shows none of them
 */
export function toAuth(given: Credentials): AuthConfig | undefined {
  const { token, user, pass, nkeySeed, creds } = given;
  for (const [name, value] of Object.entries({ token, user, pass, nkeySeed, creds })) {
    if (value !== undefined && (typeof value !== "string" || value === "")) throw invalid(name, "a string");
  }
  const ways = [token, user ?? pass, nkeySeed, creds].filter((way) => way !== undefined).length;
  if (ways === 0) return undefined;
  if (ways > 1) throw invalid("token, user, nkeySeed, creds", "one of token, user with pass, nkeySeed, creds");
  if (pass !== undefined && user === undefined) throw invalid("user", "a user for the password");
  if (nkeySeed !== undefined && !/^\s*SU[A-Z2-7]{56}\s*$/.test(nkeySeed)) throw invalid("nkeySeed", "the seed of a user nkey, which begins with SU");
  if (creds !== undefined && !/NATS USER JWT[^]*USER NKEY SEED/.test(creds)) throw invalid("creds", "the content of a credentials file");
  return toAuthConfig(given);
}

/** Gives credentials the names that the module knows; it checks them. */
export function toAuthConfig({ token, user, pass, nkeySeed, creds }: Credentials): AuthConfig {
  return { token, user, password: pass, nkeySeed, creds };
}

function invalid(field: string, want: string): KinopioError {
  return new KinopioError("INVALID_CONFIG", `invalid configuration: ${field} = (hidden): want ${want}`);
}
