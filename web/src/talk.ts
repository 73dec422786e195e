/** One conversation: what was said, the answer that is being made, and everything that can be done about it. */

import { Answer, type Heard, type Source } from './answer';
import { arrival, awaited, historyOf, holds, liveIn } from './arriving';
import { newId, random, remember } from './memory';
import { OWN, pause, read, Refused, request, requestIfThere } from './wire';

export interface Asked {
  text: string;
  agent: string;
  search: boolean;
  /** What was said into the microphone, instead of a text. */
  audio?: Blob;
}

export interface Question {
  kind: 'question';
  key: string;
  text: string;
  spoken: boolean;
  /** It is being understood. */
  waiting?: boolean;
}

export interface Reply {
  kind: 'reply';
  key: string;
  answer: Answer;
  asked: Asked | null;
  /** Of the request: the same key again is the same request. */
  once: string;
  stopping: boolean;
  /** Counts what changed, so that others need not be drawn again. */
  version: number;
}

export type Item = Question | Reply;

interface Told {
  conversation: string;
  stream: string;
  text: string | null;
}

/** Milliseconds between attempts to reach a server that is away; the last one stays. */
const PAUSES = [300, 1000, 2000, 4000, 8000];
const MOST_TRIES = 40;
/** Of a question that nobody has seen arrive. */
const MOST_FIRST_TRIES = 3;
/** Seconds for which an answer goes on although nobody follows it: a phone may sleep for a while. */
const STAY = 300;
const SPOKEN_CHARS = 3000;

let made = 0;
const nextKey = () => `item-${(made += 1)}`;

export class Talk {
  items: Item[] = [];
  loading = false;
  /** Why what was said before cannot be shown. */
  trouble: string | null = null;
  /** For those who hear the page instead of seeing it. */
  spoken = '';
  private readonly listeners = new Set<() => void>();
  private drawing = false;
  private readonly ending = new AbortController();
  private askedWhileLoading = false;
  private readonly channel = 'BroadcastChannel' in window ? new BroadcastChannel('rivermouth') : null;

  constructor(readonly id: string) {
    if (this.channel) this.channel.onmessage = ({ data }) => this.elsewhere(data as Told);
  }

  static fresh(): Talk {
    return new Talk(newId());
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    // A browser opens six connections to a server at most: who looks elsewhere must not hold one. The answer goes on.
    this.ending.abort();
    this.channel?.close();
  }

  get live(): Reply | null {
    for (let place = this.items.length - 1; place >= 0; place -= 1) {
      const item = this.items[place]!;
      if (item.kind === 'reply' && !item.answer.over) return item;
    }
    return null;
  }

  get newest(): Reply | null {
    const replies = this.items.filter((item): item is Reply => item.kind === 'reply' && item.answer.stream !== null);
    return replies[replies.length - 1] ?? null;
  }

  /** What was said before, and the answer that is being made right now, if one is. */
  async load(): Promise<void> {
    this.loading = true;
    this.trouble = null;
    this.changed();
    try {
      // In this order: an answer that ends in between is in the history by then.
      const running = await requestIfThere(liveIn(this.id));
      const history = await requestIfThere(historyOf(this.id));
      const told = history ? await history.json() : { messages: [] };
      const sent = awaited(this.id);
      this.items = told.messages.map((message: any) => this.itemOf(message));
      const waits = sent !== null && running?.status !== 200 && !(history && holds(history, told.messages, sent));
      if (sent !== null && !waits) remember(this.id, { spoken: undefined });
      if (running?.status === 200) this.attach(running);
      else if (waits) this.wait(sent);
      else this.mindTheGap();
    } catch (error) {
      this.trouble = words(error);
    }
    this.loading = false;
    this.changed();
    if (this.askedWhileLoading && !this.live) {
      this.askedWhileLoading = false;
      await this.load();
    }
  }

  /** A new question, or a message by voice. */
  ask(asked: Asked): void {
    this.items.push({ kind: 'question', key: nextKey(), text: asked.text, spoken: Boolean(asked.audio), waiting: Boolean(asked.audio) });
    const reply = this.reply(asked);
    this.items.push(reply);
    remember(this.id, { agent: asked.agent, ...(this.items.length === 2 && { title: asked.text || 'Voice message' }) });
    this.spoken = 'Sent.';
    void this.play(reply, () => this.post(reply));
  }

  /** The same question again, after a failure. */
  again(reply: Reply, now: Pick<Asked, 'agent' | 'search'>): void {
    if (!reply.asked) return;
    const asked = reply.asked.agent ? reply.asked : { ...reply.asked, ...now };
    if (!reply.answer.text) {
      // The failed attempt gives way to one with the same key, so that the question stands in the conversation once.
      const fresh = this.reply(asked, reply.once);
      this.items = this.items.map((item) => (item === reply ? fresh : item));
      this.waits(fresh, Boolean(asked.audio));
      void this.play(fresh, () => this.post(fresh));
    } else {
      this.ask(asked);
    }
    this.changed();
  }

  async stop(reply: Reply): Promise<void> {
    reply.stopping = true;
    this.touch(reply);
    if (!reply.answer.stream) return; // as soon as it has one
    try {
      await request(`streams/${reply.answer.stream}`, { method: 'DELETE', headers: OWN });
    } catch (error) {
      reply.stopping = false;
      this.say(`It could not be stopped: ${words(error)}`);
    }
  }

  async approve(reply: Reply, call: string, approved: boolean): Promise<void> {
    const part = reply.answer.parts.find((one) => one.kind === 'tool' && one.tool.id === call && !one.tool.over);
    if (part?.kind !== 'tool') return;
    part.tool.said = approved;
    this.touch(reply);
    try {
      await request(`streams/${reply.answer.stream}/approve`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...OWN },
        body: JSON.stringify({ toolCallId: call, approved }),
      });
    } catch (error) {
      part.tool.said = null;
      this.say(`That was not heard: ${words(error)}`);
    }
    this.touch(reply);
  }

  private reply(asked: Asked | null, once = random()): Reply {
    const key = nextKey();
    const answer = new Answer((heard) => this.heard(key, heard));
    return { kind: 'reply', key, answer, asked, once, stopping: false, version: 0 };
  }

  private post(reply: Reply): Promise<Response> {
    const { text, agent, search, audio } = reply.asked!;
    const headers = { 'Idempotency-Key': reply.once, 'X-On-Disconnect': `cancel_after=${STAY}` };
    if (audio) {
      if (awaited(this.id) === null) remember(this.id, { spoken: Date.now() });
      const form = new FormData();
      form.append('chatModelId', agent);
      form.append('chatInstanceId', this.id);
      form.append('stream', 'true');
      if (search) form.append('searchFiles', 'true');
      form.append('audio', audio, `message.${/mp4/.test(audio.type) ? 'm4a' : /ogg/.test(audio.type) ? 'ogg' : 'webm'}`);
      return request('smarttalk/api/chat/voice?ids=1&includeReasoning=true', { method: 'POST', headers, body: form });
    }
    return request('smarttalk/api/chat?stream=true&ids=1&includeReasoning=true', {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/json' },
      body: JSON.stringify({ message: text, chatInstanceId: this.id, chatModelId: agent, ...(search && { searchFiles: true }) }),
    });
  }

  /** Follows an answer to its end, over however many connections. open: makes the first one. */
  private async play(reply: Reply, open: () => Promise<Response>): Promise<void> {
    const { answer } = reply;
    this.changed();
    for (let tries = 0; !answer.over && !this.ending.signal.aborted; tries += 1) {
      try {
        const response = await open();
        this.opened(reply, response);
        if (response.status === 204) return this.afresh();
        await read(response, (events) => {
          tries = 0;
          answer.lost = false;
          for (const event of events) answer.take(event);
          this.progress(reply);
        }, this.ending.signal);
      } catch (error) {
        if (!(error instanceof TypeError) && !isPassing(error, reply)) {
          const gone = error instanceof Refused && (error.status === 404 || error.status === 410);
          if (gone && answer.stream) return this.afresh();
          answer.fail(failureOf(error));
        }
      }
      if (answer.over || this.ending.signal.aborted) break;
      if (answer.stream) open = () => request(`streams/${answer.stream}?ids=1&after=${answer.after}`);
      if (tries >= (answer.stream ? MOST_TRIES : MOST_FIRST_TRIES) || (reply.stopping && !answer.stream)) {
        answer.fail({ message: 'The server cannot be reached.', code: 'UNREACHABLE', again: true });
        break;
      }
      answer.lost = true;
      this.touch(reply);
      await pause(PAUSES[Math.min(tries, PAUSES.length - 1)]!);
    }
    this.finished(reply);
  }

  private opened(reply: Reply, response: Response): void {
    const { answer } = reply;
    const first = answer.stream === null;
    answer.stream ??= response.headers.get('Stream-Id');
    if (!answer.stream || !first) return;
    answer.state = 'running';
    remember(this.id, { stream: answer.stream, spoken: undefined });
    if (reply.asked) this.tell(answer.stream, reply.asked.audio ? null : reply.asked.text);
    if (reply.stopping) void this.stop(reply);
    this.touch(reply);
  }

  private progress(reply: Reply): void {
    const stored = reply.answer.message && this.items.findIndex((item) => item.key === reply.answer.message);
    if (typeof stored === 'number' && stored >= 0) this.items.splice(stored, 1);
    const waiting = reply.answer.parts.find((part) => part.kind === 'tool' && part.tool.confirm && !part.tool.over && part.tool.said === null);
    if (waiting?.kind === 'tool') this.spoken = `The tool ${waiting.tool.name} waits for your approval.`;
    this.touch(reply);
  }

  /** The answer is over, and its events are not kept: what there is of it is in the history. */
  private afresh(): void {
    this.spoken = '';
    remember(this.id, { spoken: undefined });
    void this.load();
  }

  private finished(reply: Reply): void {
    const { answer } = reply;
    if (answer.state === 'completed') this.spoken = `Answer: ${plain(answer.text)}`;
    if (answer.state === 'stopped') this.spoken = 'The answer was stopped.';
    // Why is said by the alert beside it.
    if (answer.state === 'failed') this.spoken = answer.text ? 'The answer broke off.' : 'There is no answer.';
    if (answer.state === 'failed' && !answer.stream) remember(this.id, { spoken: undefined });
    reply.stopping = false;
    this.waits(reply, false);
    this.touch(reply);
  }

  /** Whether its question, a voice message, is still being understood. */
  private waits(reply: Reply, waiting: boolean): void {
    const question = this.items[this.items.indexOf(reply) - 1];
    if (question?.kind === 'question' && question.spoken) question.waiting = waiting;
  }

  /** What the server has understood of a voice message stands where the question stands. */
  private heard(key: string, { text }: Heard): void {
    const place = this.items.findIndex((item) => item.key === key);
    const before = this.items[place - 1];
    const question: Question = { kind: 'question', key: nextKey(), text, spoken: true };
    if (before?.kind === 'question' && before.spoken && (before.text === '' || before.text === text)) {
      this.items[place - 1] = { ...before, text, waiting: false };
    } else {
      this.items.splice(Math.max(place, 0), 0, question);
    }
    if (place <= 1) remember(this.id, { title: text });
  }

  /** Other tabs are told what is asked here; null: as it is spoken, the stream will say. */
  private tell(stream: string, text: string | null): void {
    const told: Told = { conversation: this.id, stream, text };
    this.channel?.postMessage(told);
  }

  /** Another tab has asked something in this conversation. */
  private elsewhere(told: Told): void {
    if (told.conversation !== this.id) return;
    if (this.loading) {
      this.askedWhileLoading = true;
      return;
    }
    if (this.items.some((item) => item.kind === 'reply' && item.answer.stream === told.stream)) return;
    if (told.text !== null) this.items.push({ kind: 'question', key: nextKey(), text: told.text, spoken: false });
    const reply = this.reply(null);
    this.items.push(reply);
    void this.play(reply, () => request(`streams/${told.stream}?ids=1`));
  }

  private attach(response: Response): void {
    const reply = this.reply(null);
    const last = this.items[this.items.length - 1];
    if (last?.kind === 'question') reply.asked = { text: last.text, agent: '', search: false };
    this.items.push(reply);
    reply.answer.stream = response.headers.get('Stream-Id');
    reply.answer.state = 'running';
    let first: Response | null = response;
    void this.play(reply, async () => {
      const opened = first ?? (await request(`streams/${reply.answer.stream}?ids=1&after=${reply.answer.after}`));
      first = null;
      return opened;
    });
  }

  /** A message by voice was sent before a reload, and is not there yet. */
  private wait(sent: number): void {
    this.items.push({ kind: 'question', key: nextKey(), text: '', spoken: true, waiting: true });
    const reply = this.reply(null);
    this.items.push(reply);
    void this.play(reply, async () => {
      const found = await arrival(this.id, sent);
      const stream = found.headers.get('Stream-Id');
      if (stream) this.tell(stream, null);
      return found;
    });
  }

  /** A question that was left without an answer, or with half of one, may be asked again. */
  private mindTheGap(): void {
    const before = this.items[this.items.length - 2];
    const last = this.items[this.items.length - 1];
    if (last?.kind === 'reply' && last.answer.failure && before?.kind === 'question') {
      last.asked = { text: before.text, agent: '', search: false };
    }
    if (last?.kind !== 'question') return;
    const reply = this.reply({ text: last.text, agent: '', search: false });
    reply.answer.fail({ message: 'This question was left without an answer.', code: 'NO_ANSWER', again: true });
    this.items.push(reply);
  }

  private itemOf(message: any): Item {
    if (message.user?.role === 'user') return { kind: 'question', key: message.id, text: message.text, spoken: false };
    const reply = this.reply(null);
    const { sources = [], finishReason = 'stop' } = message.metadata ?? {};
    reply.key = message.id;
    reply.answer = Answer.of(message.text, sources as Source[], finishReason);
    return reply;
  }

  private say(text: string): void {
    this.trouble = text;
    this.changed();
  }

  private touch(reply: Reply): void {
    reply.version += 1;
    this.changed();
  }

  /** Tells who draws it, once for each frame; a tab in the background is given no frames. */
  private changed(): void {
    if (this.drawing) return;
    this.drawing = true;
    const draw = () => {
      if (!this.drawing) return;
      this.drawing = false;
      for (const listener of this.listeners) listener();
    };
    requestAnimationFrame(draw);
    setTimeout(draw, 250);
  }
}

/** Whether an answer that is being made may go on after this: the server is only away. */
function isPassing(error: unknown, reply: Reply): boolean {
  return error instanceof Refused && reply.answer.stream !== null && (error.status >= 500 || error.status === 429);
}

function failureOf(error: unknown): { message: string; code: string; again: boolean } {
  if (error instanceof Refused) return { message: error.message, code: error.code, again: true };
  return { message: words(error), code: '', again: true };
}

export function words(error: unknown): string {
  if (error instanceof Refused) return error.message;
  if (error instanceof TypeError) return 'The server cannot be reached.';
  return error instanceof Error ? error.message : String(error);
}

function plain(text: string): string {
  const short = text.replace(/```[\s\S]*?(```|$)/g, ' (code) ').replace(/[*_`#>|]+/g, '');
  return short.length > SPOKEN_CHARS ? `${short.slice(0, SPOKEN_CHARS)} …` : short;
}
