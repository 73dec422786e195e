/** What the page keeps in the browser: which conversations there are, and how the person wants it. Another tab sees it at once. */

export interface Entry {
  id: string;
  title: string;
  at: number;
  agent: string;
  /** The newest answer's stream, for the raw panel after a reload. */
  stream?: string;
  /** When a message by voice was sent of which the server has not said yet what becomes of it. */
  spoken?: number | undefined;
}

const LIST = 'rivermouth.conversations';
const MOST = 200;
const TITLE_CHARS = 80;

/** Storage may be full, or forbidden: then nothing is remembered, and all else works. */
export function kept(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // See above.
  }
}

export function conversations(): Entry[] {
  try {
    const found: unknown = JSON.parse(kept(LIST) ?? '[]');
    return Array.isArray(found) ? found.filter(isEntry) : [];
  } catch {
    return [];
  }
}

function isEntry(one: any): one is Entry {
  return typeof one?.id === 'string' && typeof one.title === 'string' && typeof one.at === 'number' && typeof one.agent === 'string';
}

/** Puts it first in the list; what is not told stays as it is. */
export function remember(id: string, told: Partial<Entry>): void {
  const all = conversations();
  const old = all.find((one) => one.id === id) ?? { id, title: '', at: 0, agent: '' };
  const entry = { ...old, ...told, at: Date.now() };
  entry.title = entry.title.replace(/\s+/g, ' ').trim().slice(0, TITLE_CHARS);
  save([entry, ...all.filter((one) => one.id !== id)].slice(0, MOST));
}

export function forget(id: string): void {
  save(conversations().filter((one) => one.id !== id));
}

const listeners = new Set<() => void>();

/** Calls when the list has changed, here or in another tab; returns what ends it. */
export function onChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function save(all: Entry[]): void {
  keep(LIST, JSON.stringify(all));
  for (const listener of listeners) listener();
}

window.addEventListener('storage', (event) => {
  if (event.key === LIST || event.key === null) for (const listener of listeners) listener();
});

/** A name for a new conversation. `crypto.randomUUID` is only there on https and on this machine. */
export function newId(): string {
  return `ci_${random()}`;
}

export function random(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
