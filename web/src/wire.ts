/** The server's side of the page: requests, what refuses them, and server-sent events as they come. */

/** One event: what its `data:` lines hold, and the number in the log up to which this client has everything. */
export interface Sent {
  id: number | null;
  data: string;
}

/** The server has answered, and the answer is no. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly retryAfter: number | null,
  ) {
    super(message);
  }
}

/** A number of milliseconds without a single byte, after which a connection counts as dead: heartbeats come every 15 s. */
const SILENCE = 50_000;

/** The address of a path of the server, which may live in a folder of somebody's site. */
export function at(path: string): string {
  return new URL(path, document.baseURI).href;
}

/** What no other site can send without being let: requests that change something carry it. */
export const OWN = { 'X-Rivermouth-Page': '1' };

/** The answer to a request, whose status is good. Throws: Refused; TypeError where the server cannot be reached. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(at(path), { credentials: 'same-origin', cache: 'no-store', ...init });
  if (!response.ok) throw await refusal(response);
  return response;
}

/** The same; null where there is no such thing. Throws: as `request`. */
export async function requestIfThere(path: string): Promise<Response | null> {
  try {
    return await request(path);
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return null;
    throw error;
  }
}

/** Why, in the server's words: the systems write them in shapes of their own. */
export async function refusal(response: Response): Promise<Refused> {
  return refusalOf(response.status, await response.text().catch(() => ''), response.headers.get('Retry-After'));
}

export function refusalOf(status: number, body: string, retryAfter: string | null): Refused {
  let message = '';
  let code = '';
  try {
    const told = JSON.parse(body);
    const error = typeof told.error === 'string' ? { message: told.error, code: told.code } : told.error;
    message = String(error?.message ?? '');
    code = String(error?.code ?? '');
  } catch {
    // A proxy in between has its own pages.
  }
  return new Refused(message || `The server answered with ${status}.`, status, code, Number(retryAfter) || null);
}

/** Reads a stream to its end, or until it is told to, and hands on what is whole, all that came in one read together. Throws
 * where it breaks off. */
export async function read(response: Response, heard: (events: Sent[]) => void, ending: AbortSignal): Promise<void> {
  const reader = response.body!.getReader();
  const leave = () => void reader.cancel().catch(() => {});
  ending.addEventListener('abort', leave);
  if (ending.aborted) leave();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await inTime(reader.read());
      if (done) return;
      const looked = Math.max(0, rest.length - 1);
      rest += decoder.decode(value, { stream: true });
      let begin = 0;
      const events: Sent[] = [];
      for (let end = rest.indexOf('\n\n', looked); end >= 0; end = rest.indexOf('\n\n', begin)) {
        const event = parsed(rest.slice(begin, end));
        if (event) events.push(event);
        begin = end + 2;
      }
      if (begin) rest = rest.slice(begin);
      if (events.length) heard(events);
    }
  } finally {
    ending.removeEventListener('abort', leave);
    leave();
  }
}

async function inTime<T>(promise: Promise<T>): Promise<T> {
  let timer = 0;
  const silent = new Promise<never>((_, reject) => {
    timer = window.setTimeout(() => reject(new TypeError('the connection is silent')), SILENCE);
  });
  return Promise.race([promise, silent]).finally(() => clearTimeout(timer));
}

function parsed(block: string): Sent | null {
  let id: number | null = null;
  const data: string[] = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
    else if (line.startsWith('id:')) id = Number(line.slice(3));
  }
  return data.length ? { id, data: data.join('\n') } : null;
}

/** Waits, or until the browser says that it is online again. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener('online', done);
      resolve();
    };
    const timer = window.setTimeout(done, milliseconds);
    window.addEventListener('online', done);
  });
}
