/** The visitor's files: those the server has, and those on their way to it. Answers look into them. */

import type { Uploads } from './config';
import { keep, kept } from './memory';
import { words } from './talk';
import { at, OWN, refusalOf, request } from './wire';

export interface Stored {
  id: string;
  filename: string;
  status: string;
  size: number;
  progress: number;
  errors: string[];
}

export interface Coming {
  key: number;
  filename: string;
  size: number;
  /** From 0 to 1. */
  sent: number;
  failure: string | null;
  file: File;
  cancel: () => void;
}

const LOOK_MILLISECONDS = 700;
let made = 0;

export class Files {
  stored: Stored[] = [];
  coming: Coming[] = [];
  trouble: string | null = null;
  private readonly listeners = new Set<() => void>();
  private timer = 0;

  constructor(private readonly limits: Uploads) {}

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Whether answers look into them. */
  wanted = kept('rivermouth.search') !== 'no';

  want(wanted: boolean): void {
    keep('rivermouth.search', wanted ? 'yes' : 'no');
    this.wanted = wanted;
    this.changed();
  }

  /** Whether the next answer has something to look into. */
  get searched(): boolean {
    return this.wanted && this.stored.some((file) => file.status !== 'failure');
  }

  async load(): Promise<void> {
    clearTimeout(this.timer);
    try {
      this.stored = (await (await request('page/files')).json()).files;
      this.trouble = null;
    } catch (error) {
      this.trouble = words(error);
    }
    if (this.stored.some((file) => !finished(file))) this.timer = window.setTimeout(() => void this.load(), LOOK_MILLISECONDS);
    this.changed();
  }

  add(files: Iterable<File>): void {
    if (this.limits.closed) return;
    for (const file of files) this.send(file);
  }

  again(one: Coming): void {
    this.drop(one);
    this.send(one.file);
  }

  drop(one: Coming): void {
    one.cancel();
    this.coming = this.coming.filter((other) => other !== one);
    this.changed();
  }

  async remove(file: Stored): Promise<void> {
    try {
      await request(`page/files/${encodeURIComponent(file.id)}`, { method: 'DELETE', headers: OWN });
    } catch (error) {
      this.trouble = words(error);
    }
    await this.load();
  }

  /** `fetch` does not say how much has been sent, hence XMLHttpRequest. */
  private send(file: File): void {
    const asked = new XMLHttpRequest();
    const one: Coming = { key: (made += 1), filename: file.name, size: file.size, sent: 0, failure: null, file, cancel: () => asked.abort() };
    this.coming = [...this.coming, one];
    this.changed();
    if (file.size > this.limits.file_bytes) return this.fail(one, `It is larger than ${megabytes(this.limits.file_bytes)}.`);
    asked.upload.onprogress = (event) => {
      one.sent = event.total ? event.loaded / event.total : 0;
      this.changed();
    };
    asked.onload = () => {
      if (asked.status !== 200) return this.fail(one, refusalOf(asked.status, asked.responseText, null).message);
      this.coming = this.coming.filter((other) => other !== one);
      const stored: Stored = JSON.parse(asked.responseText);
      this.stored = [stored, ...this.stored.filter((other) => other.id !== stored.id)];
      void this.load();
    };
    asked.onerror = () => this.fail(one, 'The server cannot be reached.');
    asked.open('POST', at('page/files'));
    for (const [name, value] of Object.entries(OWN)) asked.setRequestHeader(name, value);
    const form = new FormData();
    form.append('file', file);
    asked.send(form);
  }

  private fail(one: Coming, why: string): void {
    one.failure = why;
    this.changed();
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }
}

export function finished(file: Stored): boolean {
  return file.status === 'success' || file.status === 'failure';
}

export function megabytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(0)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
