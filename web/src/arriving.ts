/** A message by voice that was sent by a page which was reloaded before the server had answered. Its run begins as soon as the
 * server has seen that it is a recording, whoever is there: it is looked for again and again, for a while. */

import { conversations } from './memory';
import { pause, Refused, requestIfThere } from './wire';

/** Milliseconds between looks. */
const LOOKS = [200, 300, 500, 500, 500, ...Array<number>(18).fill(1000)];
/** Milliseconds after which nothing comes of it any more. */
const TOO_OLD = 120_000;

export const liveIn = (id: string) => `smarttalk/conversations/${encodeURIComponent(id)}/stream?ids=1`;
export const historyOf = (id: string) => `smarttalk/api/chat/history/${encodeURIComponent(id)}`;

/** When the message was sent that the conversation still waits for; null where it waits for none. */
export function awaited(id: string): number | null {
  const { spoken } = conversations().find((one) => one.id === id) ?? {};
  return spoken !== undefined && Date.now() - spoken < TOO_OLD ? spoken : null;
}

/** Whether a question has come into the history since then. Both ages are told by one clock each. */
export function holds(history: Response, messages: any[], sent: number): boolean {
  const now = Date.parse(history.headers.get('Date') ?? new Date().toUTCString());
  const age = Date.now() - sent;
  return messages.some((one) => one.user?.role === 'user' && now - Date.parse(one.created_at) <= age);
}

/** The stream of its answer, or a response without one (204) where it is in the history by now. Throws: Refused. */
export async function arrival(id: string, sent: number): Promise<Response> {
  for (const wait of LOOKS) {
    const live = await requestIfThere(liveIn(id));
    if (live?.status === 200) return live;
    const history = await requestIfThere(historyOf(id));
    if (history && holds(history, (await history.json()).messages, sent)) return new Response(null, { status: 204 });
    await pause(wait);
  }
  throw new Refused('The voice message did not arrive, or nothing was understood. Please say it again.', 404, 'NOT_ARRIVED', null);
}
