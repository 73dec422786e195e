/** An answer as it is put together from the events of `smarttalk`. */

import { Blocks } from './blocks';
import type { Sent } from './wire';

export interface Source {
  key: string;
  filename: string;
  source: string;
  content: string;
  documentType: string;
}

export interface Tool {
  id: string;
  name: string;
  input: unknown;
  output?: unknown;
  error?: string;
  milliseconds?: number;
  /** It waits for somebody's yes. */
  confirm: boolean;
  /** What was said here, until the server has heard it. */
  said: boolean | null;
  over: boolean;
}

export type Part =
  | { kind: 'text'; blocks: Blocks }
  | { kind: 'thinking'; text: string; open: boolean }
  | { kind: 'tool'; tool: Tool };

export type State = 'asked' | 'running' | 'completed' | 'stopped' | 'failed';

export interface Failure {
  message: string;
  code: string;
  /** Whether the same question may well succeed if it is asked again. */
  again: boolean;
}

/** What somebody heard the page say, before it is an answer. */
export interface Heard {
  text: string;
  duration: number;
}

export class Answer {
  parts: Part[] = [];
  sources: Source[] = [];
  state: State = 'asked';
  /** What it does right now, in words. */
  doing = '';
  failure: Failure | null = null;
  /** Of the stream: where it is, and the last event that came. */
  stream: string | null = null;
  after = 0;
  message: string | null = null;
  tokens: number | null = null;
  firstToken: number | null = null;
  duration: number | null = null;
  finish = '';
  /** The connection was lost, and is looked for again. */
  lost = false;
  private index = 0;

  /** hear: is told what was said in a voice message. */
  constructor(private readonly hear: (heard: Heard) => void = () => {}) {}

  get over(): boolean {
    return this.state !== 'asked' && this.state !== 'running';
  }

  get empty(): boolean {
    return !this.parts.some((part) => part.kind !== 'thinking');
  }

  get text(): string {
    return this.parts.map((part) => (part.kind === 'text' ? part.blocks.text : '')).join('');
  }

  /** A finished one, out of the history. */
  static of(text: string, sources: Source[], finish: string): Answer {
    const answer = new Answer();
    answer.say(text);
    answer.sources = sources;
    answer.finish = finish;
    answer.state = finish === 'stopped' ? 'stopped' : 'completed';
    if (finish === 'error') answer.fail({ message: 'The answer broke off here.', code: 'INTERRUPTED', again: true });
    return answer;
  }

  fail(failure: Failure): void {
    this.failure = failure;
    this.state = 'failed';
    this.end();
  }

  take(sent: Sent): void {
    const event = JSON.parse(sent.data);
    if (event.type === 'token') this.token(event);
    else this.other(event);
    if (sent.id !== null) this.after = sent.id;
  }

  private token(event: { token: string; index: number }): void {
    // After a resume the same event may come once more: one that became several frames has its number on the last.
    if (event.index < this.index) return;
    this.index = event.index + 1;
    this.doing = '';
    this.say(event.token);
  }

  private say(text: string): void {
    let last = this.parts[this.parts.length - 1];
    if (last?.kind !== 'text') {
      this.closeThinking();
      last = { kind: 'text', blocks: new Blocks() };
      this.parts.push(last);
    }
    last.blocks.push(text);
  }

  private other(event: any): void {
    switch (event.type) {
      case 'transcription':
        this.hear({ text: event.text, duration: event.duration });
        break;
      case 'stream_start':
        this.state = 'running';
        this.stream = event.streamId;
        this.message = event.messageId;
        break;
      case 'thinking':
        this.think(event);
        break;
      case 'tool_start':
        this.begin(event);
        break;
      case 'tool_end':
        this.returned(event);
        break;
      case 'agent_response':
        this.answered(event);
        break;
      case 'error':
        this.failure = { message: event.error, code: event.code, again: event.recoverable };
        break;
      case 'stream_end':
        this.ended(event);
        break;
    }
  }

  private think(event: { status: string; message: string; text?: string }): void {
    this.doing = event.message;
    if (!event.text) return;
    const last = this.parts[this.parts.length - 1];
    if (last?.kind === 'thinking') last.text += event.text;
    else this.parts.push({ kind: 'thinking', text: event.text, open: true });
  }

  private begin(event: any): void {
    this.closeThinking();
    this.doing = '';
    if (this.tool(event.toolCallId)) return;
    const { toolCallId: id, name, input, confirm = false } = event;
    this.parts.push({ kind: 'tool', tool: { id, name, input, confirm, said: null, over: false } });
  }

  private returned(event: any): void {
    const tool = this.tool(event.toolCallId);
    if (tool) Object.assign(tool, { output: event.output, error: event.error, milliseconds: event.durationMs, over: true });
  }

  private tool(id: string): Tool | undefined {
    for (const part of this.parts) if (part.kind === 'tool' && part.tool.id === id && !part.tool.over) return part.tool;
    return undefined;
  }

  private answered(event: any): void {
    this.sources = event.sources ?? [];
    this.finish = event.finishReason;
    if (this.empty && event.response) this.say(event.response);
  }

  private ended(event: any): void {
    this.tokens = event.tokens;
    this.firstToken = event.firstTokenMs;
    this.duration = event.durationMs;
    this.state = event.success ? (this.finish === 'stopped' ? 'stopped' : 'completed') : 'failed';
    this.end();
  }

  private end(): void {
    this.doing = '';
    this.lost = false;
    this.closeThinking();
    for (const part of this.parts) if (part.kind === 'tool') part.tool.over = true;
  }

  private closeThinking(): void {
    const last = this.parts[this.parts.length - 1];
    if (last?.kind === 'thinking') last.open = false;
  }
}
