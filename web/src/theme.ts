/** Light, dark, or as the system has it. */

import { keep, kept } from './memory';

export type Theme = 'system' | 'light' | 'dark';
export const THEMES: Theme[] = ['system', 'light', 'dark'];

export function theme(): Theme {
  const found = kept('rivermouth.theme');
  return THEMES.find((one) => one === found) ?? 'system';
}

export function applied(wanted: Theme): void {
  keep('rivermouth.theme', wanted);
  if (wanted === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = wanted;
}
