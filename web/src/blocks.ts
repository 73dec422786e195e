/**
 * Markdown that grows, in blocks: those that nothing can change any more, which are rendered once, and the last one.
 *
 * CommonMark decides line by line, so a block is over when a whole line has begun the next one. Only the text behind the last
 * such place is looked at again; what a model writes costs as much at its end as at its beginning.
 */

import MarkdownIt from 'markdown-it';

export const markdown = new MarkdownIt({ html: false, linkify: true, breaks: false, typographer: false });

export class Blocks {
  readonly done: string[] = [];
  /** What comes behind them, and may still change. */
  tail = '';
  /** What a block has defined for those behind it: markdown-it's `env`. */
  readonly around: Record<string, unknown> = {};
  private looked = 0;

  push(piece: string): void {
    this.tail += piece;
    if (piece.includes('\n')) this.split();
  }

  get text(): string {
    return this.done.join('') + this.tail;
  }

  private split(): void {
    const whole = this.tail.lastIndexOf('\n') + 1;
    // A block that goes on and on is looked at again when it has grown by half, so that it costs no more than its length.
    if (whole < this.looked * 1.5) return;
    this.looked = whole;
    const lines = this.tail.slice(0, whole);
    const begins = starts(lines);
    if (begins.length < 2) return;
    let from = 0;
    for (const place of placesOf(lines, begins).slice(1)) {
      this.done.push(this.tail.slice(from, place));
      from = place;
    }
    this.tail = this.tail.slice(from);
    this.looked = 0;
  }
}

/** The lines in which blocks begin. */
function starts(text: string): number[] {
  const found: number[] = [];
  for (const token of markdown.parse(text, {})) {
    if (token.level === 0 && token.nesting >= 0 && token.map) found.push(token.map[0]);
  }
  return found;
}

function placesOf(text: string, lines: number[]): number[] {
  const places: number[] = [];
  let line = 0;
  let place = 0;
  for (const wanted of lines) {
    while (line < wanted) {
      place = text.indexOf('\n', place) + 1;
      line += 1;
    }
    places.push(place);
  }
  return places;
}
