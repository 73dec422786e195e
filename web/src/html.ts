/** What a model wrote, as nodes that can do nothing but be read. */

import DOMPurify, { type Config } from 'dompurify';
import { markdown } from './blocks';

const KEPT: Config & { RETURN_DOM_FRAGMENT: true } = {
  ALLOWED_TAGS: [
    'a', 'blockquote', 'br', 'code', 'del', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li', 'ol', 'p', 'pre', 's', 'strong', 'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul',
  ],
  ALLOWED_ATTR: ['href', 'title', 'start', 'class', 'target', 'rel'],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  RETURN_DOM_FRAGMENT: true,
};

const rules = markdown.renderer.rules;

// A picture would be a request to somebody else's server, which would learn of the reader: it is a link.
rules.image = (tokens, place) => {
  const token = tokens[place]!;
  const text = markdown.utils.escapeHtml(token.content || 'picture');
  return `<a href="${markdown.utils.escapeHtml(String(token.attrGet('src') ?? ''))}">${text}</a>`;
};

// Columns are aligned with classes, as a strict policy takes no style attributes.
for (const name of ['th_open', 'td_open'] as const) {
  rules[name] = (tokens, place, options, _env, self) => {
    const token = tokens[place]!;
    const side = /text-align:(\w+)/.exec(String(token.attrGet('style') ?? ''))?.[1];
    token.attrs = side ? [['class', `to-${side}`]] : null;
    return self.renderToken(tokens, place, options);
  };
}

/** The nodes of some markdown. around: what earlier blocks of the same text have defined. */
export function nodesOf(text: string, around: Record<string, unknown> = {}): DocumentFragment {
  const fragment = DOMPurify.sanitize(markdown.render(text, around), KEPT);
  for (const link of fragment.querySelectorAll('a')) {
    link.target = '_blank';
    link.rel = 'noopener noreferrer nofollow';
  }
  for (const table of fragment.querySelectorAll('table')) scrollable(table, 'table', 'Table');
  for (const code of fragment.querySelectorAll('pre')) withCopy(code);
  return fragment;
}

function scrollable(inside: Element, name: string, label: string): HTMLElement {
  const frame = document.createElement('div');
  frame.className = `scroll ${name}`;
  frame.tabIndex = 0;
  frame.setAttribute('role', 'group');
  frame.setAttribute('aria-label', label);
  inside.replaceWith(frame);
  frame.append(inside);
  return frame;
}

function withCopy(code: Element): void {
  const language = /language-([\w+#.-]+)/.exec(code.firstElementChild?.className ?? '')?.[1] ?? '';
  const figure = document.createElement('div');
  figure.className = 'listing';
  const bar = document.createElement('div');
  bar.className = 'listing-bar';
  const name = document.createElement('span');
  name.textContent = language || 'text';
  const copy = document.createElement('button');
  copy.type = 'button';
  copy.className = 'copy';
  copy.textContent = 'Copy';
  bar.append(name, copy);
  code.replaceWith(figure);
  figure.append(bar, code);
  scrollable(code, 'code', language ? `Code, ${language}` : 'Code');
}
