// A range of values as lines or stacked areas. Dragging over it zooms; the list below names the lines and switches them.

import 'uplot/dist/uPlot.min.css';

import { useComputedColorScheme } from '@mantine/core';
import { useEffect, useMemo, useRef, useState } from 'react';
import uPlot from 'uplot';

import type { MatrixSeries } from '../api';
import { plural, selector, time } from '../format';
import { Empty, Notice } from '../parts';

/** More lines than this cannot be told apart, and take long to draw. */
const LINES_MAX = 200;
const HEIGHT = 340;

// Told apart also by those who do not see all colours; from the ninth line on, dashes tell the rest.
const LIGHT = ['#0072b2', '#c04f00', '#00795a', '#b04c86', '#7a6000', '#2a86c4', '#7a2ea0', '#4d4d4d'];
const DARK = ['#56b4e9', '#e69f00', '#2fd19a', '#f0a6cc', '#f0e442', '#7aa2ff', '#d7a3f5', '#c4c4c4'];
const DASHES = [undefined, [7, 4], [2, 3], [10, 3, 2, 3]];

interface Span {
  startMs: number;
  endMs: number;
  stepMs: number;
}

export default function Graph(props: { series: MatrixSeries[]; span: Span; isStacked: boolean; onZoom: (startMs: number, endMs: number) => void }) {
  const { series, span, isStacked, onZoom } = props;
  const isDark = useComputedColorScheme('light') === 'dark';
  const floats = useMemo(() => series.filter((one) => one.values?.length).slice(0, LINES_MAX), [series]);
  const names = useMemo(() => floats.map((one) => selector(one.metric)), [floats]);
  const [only, setOnly] = useState<ReadonlySet<string>>(new Set());
  const [at, setAt] = useState<number | null>(null);
  const host = useRef<HTMLDivElement>(null);
  const zoom = useRef(onZoom);
  zoom.current = onZoom;

  const table = useMemo(() => align(floats, span), [floats, span]);
  const isShown = (name: string) => only.size === 0 || only.has(name);
  const colour = (index: number) => (isDark ? DARK : LIGHT)[index % LIGHT.length]!;
  const dash = (index: number) => DASHES[Math.floor(index / LIGHT.length) % DASHES.length];

  useEffect(() => {
    const div = host.current;
    if (!div || floats.length === 0) return;
    const shown = floats.map((_, index) => index).filter((index) => isShown(names[index]!));
    const lines = shown.map((index) => table.values[index]!);
    const data = [table.times, ...(isStacked ? stack(lines) : lines)] as uPlot.AlignedData;
    const style = getComputedStyle(document.documentElement);
    const grid = { stroke: style.getPropertyValue('--line'), width: 1 };
    const text = style.getPropertyValue('--mantine-color-dimmed');
    const plot = new uPlot(
      {
        width: div.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
        scales: { x: { time: true, range: [span.startMs / 1000, span.endMs / 1000] } },
        axes: [
          { stroke: text, grid, ticks: grid, font: '12px system-ui', space: 76, values: axisTimes },
          { stroke: text, grid, ticks: grid, font: '12px system-ui', size: 64, values: (_, values) => values.map(short) },
        ],
        bands: isStacked ? shown.slice(1).map((_, band): uPlot.Band => ({ series: [band + 2, band + 1] })) : [],
        series: [
          {},
          ...shown.map((index): uPlot.Series => {
            const line: uPlot.Series = { stroke: colour(index), width: 1.75, points: { show: false }, spanGaps: false };
            const dashed = dash(index);
            if (dashed) line.dash = dashed;
            if (isStacked) line.fill = `${colour(index)}55`;
            // A point with gaps on both sides is no line, and would not be seen.
            if (table.isSparse) line.points = { show: true, size: 4 };
            return line;
          }),
        ],
        hooks: {
          setCursor: [(self) => setAt(self.cursor.idx ?? null)],
          setSelect: [
            (self) => {
              if (self.select.width < 4) return;
              const start = self.posToVal(self.select.left, 'x');
              const end = self.posToVal(self.select.left + self.select.width, 'x');
              zoom.current(Math.round(start * 1000), Math.round(end * 1000));
            },
          ],
        },
      },
      data,
      div,
    );
    const resized = new ResizeObserver(() => plot.setSize({ width: div.clientWidth, height: HEIGHT }));
    resized.observe(div);
    return () => {
      resized.disconnect();
      plot.destroy();
    };
  }, [table, only, isStacked, isDark]);

  if (floats.length === 0) {
    return series.length > 0 ? (
      <Empty title="Only native histograms">Ask for a number of them: histogram_quantile(0.9, …), histogram_avg(…) or histogram_count(…).</Empty>
    ) : (
      <Empty title="No data in this range">Widen the range, move its end, or check the selector in the table.</Empty>
    );
  }
  const toggle = (name: string) =>
    setOnly((old) => {
      const next = new Set(old);
      if (!next.delete(name)) next.add(name);
      return next.size === names.length ? new Set() : next;
    });
  const last = table.times.length - 1;
  const summary = `${plural(floats.length, 'line')} from ${time(span.startMs)} to ${time(span.endMs)}. The Table tab has the values.`;
  return (
    <div className="graph">
      {series.length > LINES_MAX && (
        <Notice tone="warn">
          The first {LINES_MAX} of {series.length} series are drawn. Aggregate, or take topk({LINES_MAX}, …).
        </Notice>
      )}
      <div ref={host} role="img" aria-label={summary} style={{ minHeight: HEIGHT }} />
      <div className="legend" style={{ margin: '0.4rem 0' }}>
        <span>{time(table.times[at ?? last]! * 1000)}</span>
        <span>Drag over the graph to zoom. Press a name to show it alone, and more to add them.</span>
      </div>
      <div className="series-list" role="group" aria-label="Lines" tabIndex={0}>
        {names.map((name, index) => {
          const value = table.values[index]![at ?? last];
          return (
            <button key={name} type="button" aria-pressed={isShown(name)} onClick={() => toggle(name)}>
              <svg width="22" height="8" aria-hidden="true" style={{ flexShrink: 0 }}>
                <line x1="0" x2="22" y1="4" y2="4" stroke={colour(index)} strokeWidth="3" strokeDasharray={dash(index)?.join(' ')} />
              </svg>
              <span className="mono">{name}</span>
              <span className="value mono">{value === null || value === undefined ? '–' : Number(value.toPrecision(8))}</span>
            </button>
          );
        })}
      </div>
    </div>
  );
}

interface Table {
  times: number[];
  values: (number | null)[][];
  isSparse: boolean;
}

/** Puts all series onto the steps of the range; a missing or infinite value is a gap. */
function align(series: MatrixSeries[], span: Span): Table {
  const steps = Math.floor((span.endMs - span.startMs) / span.stepMs) + 1;
  const times = Array.from({ length: steps }, (_, step) => (span.startMs + step * span.stepMs) / 1000);
  let alone = 0;
  const values = series.map((one) => {
    const line: (number | null)[] = new Array(steps).fill(null);
    for (const [seconds, text] of one.values ?? []) {
      const step = Math.round((seconds * 1000 - span.startMs) / span.stepMs);
      const value = Number(text);
      if (step >= 0 && step < steps && Number.isFinite(value)) line[step] = value;
    }
    const isAlone = (value: number | null, at: number) => value !== null && (line[at - 1] ?? null) === null && (line[at + 1] ?? null) === null;
    alone += line.filter(isAlone).length;
    return line;
  });
  return { times, values, isSparse: alone > 0 };
}

/** Puts lines upon one another; where none has a value there is a gap, elsewhere a missing one counts as nothing. */
function stack(lines: (number | null)[][]): (number | null)[][] {
  const below: number[] = [];
  return lines.map((line) =>
    line.map((value, at) => {
      if (lines.every((one) => one[at] === null)) return null;
      below[at] = (below[at] ?? 0) + (value ?? 0);
      return below[at]!;
    }),
  );
}

function axisTimes(_: uPlot, splits: number[], __: number, ___: number, gap: number): string[] {
  let day = '';
  return splits.map((seconds) => {
    const text = time(seconds * 1000);
    const [date, clock] = [text.slice(5, 10), gap >= 60 ? text.slice(11, 16) : text.slice(11)];
    const isNew = date !== day;
    day = date;
    return isNew ? `${clock}\n${date}` : clock;
  });
}

const SCALE: [number, string][] = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];

function short(value: number): string {
  const size = Math.abs(value);
  const unit = SCALE.find(([least]) => size >= least);
  if (unit) return `${Number((value / unit[0]).toPrecision(4))}${unit[1]}`;
  return size !== 0 && size < 1e-4 ? value.toExponential(1) : String(Number(value.toPrecision(5)));
}
