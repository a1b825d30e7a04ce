// Numbers, sizes, durations and times for people; and PromQL's own spellings.

import type { Labels } from './api';

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function count(value: number): string {
  return grouped.format(value);
}

const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function bytes(value: number): string {
  let unit = 0;
  while (value >= 1024 && unit < SIZES.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${SIZES[unit]}`;
}

/** Seconds as milliseconds, seconds, minutes: the unit that reads best. */
export function seconds(value: number): string {
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 2 : 1)} ms`;
  if (value < 60) return `${value.toFixed(2)} s`;
  return duration(Math.round(value) * 1000);
}

const UNITS: [string, number][] = [
  ['y', 31_536_000_000],
  ['w', 604_800_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
];

/** Milliseconds as PromQL writes them: `1h30m`. */
export function duration(ms: number): string {
  if (ms <= 0) return '0s';
  let text = '';
  for (const [unit, size] of UNITS) {
    // Years and weeks are only used when nothing is left over, as in Prometheus.
    if ((unit === 'y' || unit === 'w') && ms % size !== 0) continue;
    const number = Math.floor(ms / size);
    if (number > 0) text += `${number}${unit}`;
    ms -= number * size;
  }
  return text;
}

/** Reads `1h30m`; null when it is none. */
export function parseDuration(text: string): number | null {
  const match = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/.exec(text.trim());
  if (!match || text.trim() === '') return null;
  const total = UNITS.reduce((sum, [, size], at) => sum + Number(match[at + 1] ?? 0) * size, 0);
  return total > 0 ? total : null;
}

export function time(ms: number): string {
  const date = new Date(ms);
  if (!Number.isFinite(ms) || Number.isNaN(date.getTime())) return '–';
  const two = (part: number) => String(part).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** How long ago an RFC 3339 time was; `never` for the times that Go prints when none was set. */
export function ago(text: string, nowMs = Date.now()): string {
  const ms = Date.parse(text);
  if (!Number.isFinite(ms) || ms <= 0) return 'never';
  const past = nowMs - ms;
  return past < 1000 ? 'just now' : `${duration(Math.floor(past / 1000) * 1000)} ago`;
}

/** A name as it may stand in a selector. */
export function quoted(value: string): string {
  return `"${value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`;
}

const PLAIN_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const PLAIN_METRIC = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

export function labelName(name: string): string {
  return PLAIN_NAME.test(name) ? name : quoted(name);
}

/** A series as PromQL selects it. */
export function selector(metric: Labels): string {
  const { __name__: name, ...labels } = metric;
  const pairs = Object.entries(labels).map(([label, value]) => `${labelName(label)}=${quoted(value)}`);
  if (name !== undefined && !PLAIN_METRIC.test(name)) pairs.unshift(quoted(name));
  const plain = name !== undefined && PLAIN_METRIC.test(name) ? name : '';
  return plain && pairs.length === 0 ? plain : `${plain}{${pairs.join(', ')}}`;
}

export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}
