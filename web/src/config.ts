/** What the server tells the page about itself. It is asked for first, as its answer brings the visitor's cookie. */

import { request } from './wire';

export interface Agent {
  id: string;
  name: string;
  description: string;
}

export interface Uploads {
  /** Why files are not taken; null where they are. */
  closed: string | null;
  files: number;
  bytes: number;
  file_bytes: number;
}

export interface Config {
  version: string;
  agents: Agent[];
  dialects: string[];
  message_chars: number;
  uploads: Uploads;
  /** Seconds that a voice message may last; null where nobody would understand it. */
  voice: number | null;
}

export async function config(): Promise<Config> {
  return (await request('page/config')).json();
}
