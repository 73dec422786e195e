/** Drawn here, so that nothing is fetched for them. All are decoration: what they mean is said in words beside them. */

import type { ComponentChildren } from 'preact';

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

export const Send = () => <Icon><path d="M12 19V5M5.5 11.5 12 5l6.5 6.5" /></Icon>;
export const Stop = () => <Icon><rect x="7" y="7" width="10" height="10" rx="2" class="filled" /></Icon>;
export const Plus = () => <Icon><path d="M12 5v14M5 12h14" /></Icon>;
export const Clip = () => <Icon><path d="M20 11.5 12 19.5a5 5 0 0 1-7-7l8.5-8.5a3.4 3.4 0 0 1 4.8 4.8l-8.4 8.4a1.7 1.7 0 0 1-2.4-2.4L15 7.5" /></Icon>;
export const Mic = () => <Icon><rect x="9" y="3" width="6" height="11" rx="3" /><path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3" /></Icon>;
export const Bin = () => <Icon><path d="M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.5 11v5M13.5 11v5" /></Icon>;
export const Menu = () => <Icon><path d="M4 7h16M4 12h16M4 17h16" /></Icon>;
export const Close = () => <Icon><path d="m6 6 12 12M18 6 6 18" /></Icon>;
export const Wire = () => <Icon><path d="m8 7-5 5 5 5M16 7l5 5-5 5M13.5 5l-3 14" /></Icon>;
export const Gear = () => <Icon><path d="M4 8h9M17 8h3M4 16h3M11 16h9" /><circle cx="15" cy="8" r="2" /><circle cx="9" cy="16" r="2" /></Icon>;
export const Page = () => <Icon><path d="M7 3.5h7l4 4v13H7zM14 3.5v4h4" /></Icon>;
export const Check = () => <Icon><path d="m5 12.5 4.5 4.5L19 7.5" /></Icon>;
export const Again = () => <Icon><path d="M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4" /></Icon>;
export const Sun = () => <Icon><circle cx="12" cy="12" r="4" /><path d="M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4" /></Icon>;

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path d="M3 16h8" />
      <path d="M11 16c7 0 8-10 18-10" />
      <path d="M11 16c7 0 9-5 18-5" class="thin" />
      <path d="M11 16h18" />
      <path d="M11 16c7 0 9 5 18 5" class="thin" />
      <path d="M11 16c7 0 8 10 18 10" />
    </svg>
  );
}

/** A river that reaches the sea in many arms: one stream, every client. */
export function Delta() {
  const arms = [-86, -60, -38, -18, 0, 18, 38, 60, 86];
  return (
    <svg class="delta" viewBox="0 0 480 200" aria-hidden="true" focusable="false">
      {arms.map((arm, place) => (
        <path key={arm} class={place % 2 ? 'thin' : ''} d={`M0 100 C 70 ${100 + Math.sin(place) * 3} 110 100 160 100 S 250 ${100 + arm * 0.35} 300 ${100 + arm * 0.7} S 400 ${100 + arm} 480 ${100 + arm}`} />
      ))}
    </svg>
  );
}
