// What the panels of the query page show, as the address bar has it: the names are Prometheus's, so its links work here.

import { duration, parseDuration } from '../format';

export type Tab = 'table' | 'graph' | 'explain';

export interface PanelState {
  expr: string;
  tab: Tab;
  rangeMs: number;
  /** Up to when; null for now. */
  endMs: number | null;
  /** Between two points; null for one that fits the range. */
  stepMs: number | null;
  isStacked: boolean;
}

export const FRESH: PanelState = { expr: '', tab: 'table', rangeMs: 3_600_000, endMs: null, stepMs: null, isStacked: false };

/** How many panels one address may have. */
const PANELS_MAX = 20;
/** About how many points a line has when nobody says. */
const POINTS = 250;

export function readPanels(params: URLSearchParams): PanelState[] {
  const panels: PanelState[] = [];
  for (let at = 0; at < PANELS_MAX && params.has(`g${at}.expr`); at += 1) {
    const get = (name: string) => params.get(`g${at}.${name}`) ?? '';
    const end = Date.parse(`${(get('end_input') || get('moment_input')).replace(' ', 'T')}Z`);
    const step = Number(get('step_input')) * 1000;
    panels.push({
      expr: get('expr'),
      tab: readTab(get('tab')),
      rangeMs: parseDuration(get('range_input')) ?? FRESH.rangeMs,
      endMs: Number.isFinite(end) ? end : null,
      stepMs: step > 0 ? step : null,
      isStacked: get('display_mode') === 'stacked' || get('stacked') === '1',
    });
  }
  return panels.length > 0 ? panels : [FRESH];
}

function readTab(text: string): Tab {
  if (text === '0' || text === 'graph') return 'graph';
  return text === 'explain' ? 'explain' : 'table';
}

export function writePanels(panels: PanelState[]): URLSearchParams {
  const params = new URLSearchParams();
  panels.forEach((panel, at) => {
    const set = (name: string, value: string) => params.set(`g${at}.${name}`, value);
    set('expr', panel.expr);
    set('tab', panel.tab);
    set('range_input', duration(panel.rangeMs));
    if (panel.endMs !== null) set('end_input', new Date(panel.endMs).toISOString().slice(0, 19).replace('T', ' '));
    if (panel.stepMs !== null) set('step_input', String(panel.stepMs / 1000));
    if (panel.isStacked) set('display_mode', 'stacked');
  });
  return params;
}

/** The distance of points, ms: whole seconds unless the person said otherwise. */
export function stepOf(panel: PanelState): number {
  return panel.stepMs ?? Math.max(1, Math.ceil(panel.rangeMs / POINTS / 1000)) * 1000;
}

const HISTORY = 'norn.history';
const HISTORY_MAX = 50;

export function readHistory(): string[] {
  try {
    const read: unknown = JSON.parse(localStorage.getItem(HISTORY) ?? '[]');
    return Array.isArray(read) ? read.filter((entry) => typeof entry === 'string').slice(0, HISTORY_MAX) : [];
  } catch {
    return [];
  }
}

export function remember(expr: string): void {
  const rest = readHistory().filter((entry) => entry !== expr);
  try {
    localStorage.setItem(HISTORY, JSON.stringify([expr, ...rest].slice(0, HISTORY_MAX)));
  } catch {
    // A browser that stores nothing has no history.
  }
}
