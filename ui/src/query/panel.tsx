// One query: its text, its time, and its result as a table, a graph, or an explanation.

import { Button, Switch, Tabs, TextInput } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useEffect, useState } from 'react';

import { type Answer, ask, type QueryResult } from '../api';
import { count, duration, parseDuration, plural, seconds, time } from '../format';
import { Empty, Fault, Loading, Notice, Warnings } from '../parts';
import Explain from './explain';
import { History, Metrics } from './finder';
import { type PanelState, remember, stepOf, type Tab } from './state';
import ResultTable from './table';

const Editor = lazy(() => import('./editor'));
const Graph = lazy(() => import('./graph'));

/** More series than this are cut by the server, with a warning. */
const SERIES_MAX = 10_000;
/** The ranges that the buttons step through, ms. */
const RANGES = ['1m', '5m', '15m', '30m', '1h', '2h', '6h', '12h', '1d', '2d', '1w', '2w', '4w', '8w', '1y'].map(
  (text) => parseDuration(text)!,
);

interface Ran {
  answer: Answer<QueryResult>;
  startMs: number;
  endMs: number;
  stepMs: number;
  tookMs: number;
}

export interface PanelProps {
  panel: PanelState;
  isFirst: boolean;
  onChange: (change: Partial<PanelState>) => void;
  onRemove?: (() => void) | undefined;
}

export function Panel({ panel, isFirst, onChange, onRemove }: PanelProps) {
  const [draft, setDraft] = useState(panel.expr);
  const [runs, setRuns] = useState(0);
  const [aside, setAside] = useState<'metrics' | 'history' | null>(null);
  useEffect(() => setDraft(panel.expr), [panel.expr]);

  const isRange = panel.tab !== 'table';
  const result = useQuery({
    queryKey: ['panel', panel.expr, panel.tab, isRange && panel.rangeMs, panel.endMs, isRange && panel.stepMs, runs],
    queryFn: ({ signal }) => run(panel, signal),
    enabled: panel.expr !== '',
    staleTime: Infinity,
    gcTime: 60_000,
    // A table is no graph: only the same kind of result stays while the next one is on its way.
    placeholderData: (previous, query) => (query?.queryKey[2] === panel.tab ? keepPreviousData(previous) : undefined),
  });
  const start = (expr = draft) => {
    const text = expr.trim();
    if (text === '') return;
    remember(text);
    setAside(null);
    setDraft(text);
    if (text !== panel.expr) onChange({ expr: text });
    else setRuns(runs + 1);
  };
  const toggle = (which: 'metrics' | 'history') => setAside(aside === which ? null : which);

  return (
    <section className="card" aria-label={panel.expr ? `Query ${panel.expr}` : 'Query'}>
      <div style={{ display: 'flex', gap: '0.6rem', alignItems: 'flex-start', flexWrap: 'wrap' }}>
        <div className="editor" style={{ flexBasis: 300 }}>
          <Suspense fallback={<textarea rows={1} aria-label="PromQL expression" value={draft} onChange={(e) => setDraft(e.target.value)} />}>
            <Editor value={draft} onChange={setDraft} onRun={() => start()} hasFocus={isFirst} />
          </Suspense>
        </div>
        <Button onClick={() => start()} disabled={draft.trim() === ''}>
          Run
        </Button>
        <Button variant="default" aria-expanded={aside === 'metrics'} onClick={() => toggle('metrics')}>
          Metrics
        </Button>
        <Button variant="default" aria-expanded={aside === 'history'} onClick={() => toggle('history')}>
          History
        </Button>
        {onRemove && (
          <Button variant="default" onClick={onRemove}>
            Remove
          </Button>
        )}
      </div>
      {aside === 'metrics' && <Metrics onPick={(name) => (setDraft(draft.trim() ? `${draft} ${name}` : name), setAside(null))} />}
      {aside === 'history' && <History onPick={start} />}
      <Status panel={panel} result={result} />
      <Tabs value={panel.tab} onChange={(tab) => tab && onChange({ tab: tab as Tab })} keepMounted={false}>
        <Tabs.List style={{ marginBottom: '0.75rem' }}>
          <Tabs.Tab value="table">Table</Tabs.Tab>
          <Tabs.Tab value="graph">Graph</Tabs.Tab>
          <Tabs.Tab value="explain">Explain</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value={panel.tab}>
          <Controls panel={panel} onChange={onChange} />
          <Result panel={panel} result={result} onChange={onChange} />
        </Tabs.Panel>
      </Tabs>
    </section>
  );
}

type Running = { data: Ran | undefined; error: unknown; isFetching: boolean };

function Status({ panel, result }: { panel: PanelState; result: Running }) {
  const { data, error, isFetching } = result;
  let text = 'Enter runs the query, Shift+Enter makes a new line.';
  if (isFetching) text = 'Running…';
  else if (error) text = 'The query failed.';
  else if (data && panel.expr) {
    const { stats, result: value, resultType } = data.answer.data;
    const parts = [resultType === 'vector' || resultType === 'matrix' ? plural(value.length, 'series', 'series') : resultType];
    if (stats) {
      parts.push(`${count(stats.samples.totalQueryableSamples)} samples`, `${seconds(stats.timings.execTotalTime ?? 0)} at the server`);
      if ((stats.timings.execQueueTime ?? 0) > 0.01) parts.push(`${seconds(stats.timings.execQueueTime!)} of it waiting`);
    }
    parts.push(`${seconds(data.tookMs / 1000)} in all`);
    if (panel.tab !== 'table') parts.push(`resolution ${duration(data.stepMs)}`);
    text = parts.join(' · ');
  }
  return (
    <div role="status" aria-live="polite" style={{ fontSize: '0.8rem', color: 'var(--mantine-color-dimmed)', margin: '0.4rem 0' }}>
      {text}
    </div>
  );
}

function Result({ panel, result, onChange }: { panel: PanelState; result: Running; onChange: PanelProps['onChange'] }) {
  const { data, error } = result;
  if (panel.expr === '') return <Empty title="No query yet">Type an expression above, or press Metrics to see what there is.</Empty>;
  if (error) return <Fault error={error} title="The query failed" />;
  if (!data) return <Loading what="Running" />;
  const { answer } = data;
  return (
    <div style={{ display: 'grid', gap: '0.6rem', gridTemplateColumns: 'minmax(0, 1fr)' }}>
      <Warnings texts={answer.warnings} />
      {answer.infos.map((info) => (
        <Notice key={info} tone="plain">
          {info}
        </Notice>
      ))}
      {panel.tab === 'table' && <ResultTable result={answer.data} />}
      {panel.tab === 'graph' && answer.data.resultType === 'matrix' && (
        <Suspense fallback={<Loading />}>
          <Graph
            series={answer.data.result}
            span={data}
            isStacked={panel.isStacked}
            onZoom={(startMs, endMs) => onChange({ rangeMs: Math.max(1000, Math.round((endMs - startMs) / 1000) * 1000), endMs, stepMs: null })}
          />
        </Suspense>
      )}
      {panel.tab === 'explain' && answer.data.explain && <Explain explanation={answer.data.explain} />}
    </div>
  );
}

function Controls({ panel, onChange }: { panel: PanelState; onChange: PanelProps['onChange'] }) {
  const isRange = panel.tab !== 'table';
  const next = (up: boolean) => (up ? RANGES.find((ms) => ms > panel.rangeMs) : RANGES.findLast((ms) => ms < panel.rangeMs));
  const shift = (by: number) => {
    const end = (panel.endMs ?? Date.now()) + by * (isRange ? panel.rangeMs / 2 : 300_000);
    onChange({ endMs: end >= Date.now() ? null : Math.round(end / 1000) * 1000 });
  };
  const step = (up: boolean) => {
    const rangeMs = next(up);
    if (rangeMs) onChange({ rangeMs, stepMs: null });
  };
  return (
    <div className="toolbar" style={{ marginBottom: '0.75rem' }}>
      {isRange && (
        <Button.Group>
          <Button variant="default" aria-label="Shorter range" onClick={() => step(false)}>
            −
          </Button>
          <Field label="Range" value={duration(panel.rangeMs)} width={90} onCommit={(text) => {
            const rangeMs = parseDuration(text);
            if (rangeMs) onChange({ rangeMs, stepMs: null });
            return rangeMs !== null;
          }} />
          <Button variant="default" aria-label="Longer range" onClick={() => step(true)}>
            +
          </Button>
        </Button.Group>
      )}
      <Button.Group>
        <Button variant="default" aria-label="Earlier" onClick={() => shift(-1)}>
          ‹
        </Button>
        <Field
          label={isRange ? 'End' : 'Time'}
          value={panel.endMs === null ? '' : time(panel.endMs)}
          placeholder="now"
          width={196}
          onCommit={(text) => {
            if (text === '') return onChange({ endMs: null }), true;
            const endMs = Date.parse(text.replace(' ', 'T'));
            if (Number.isFinite(endMs)) onChange({ endMs });
            return Number.isFinite(endMs);
          }}
        />
        <Button variant="default" aria-label="Later" onClick={() => shift(1)} disabled={panel.endMs === null}>
          ›
        </Button>
        {panel.endMs !== null && (
          <Button variant="default" onClick={() => onChange({ endMs: null })}>
            Now
          </Button>
        )}
      </Button.Group>
      {isRange && (
        <Field label="Resolution" value={panel.stepMs === null ? '' : duration(panel.stepMs)} placeholder={`auto: ${duration(stepOf(panel))}`} width={110} onCommit={(text) => {
          const stepMs = text === '' ? null : parseDuration(text);
          if (text === '' || stepMs) onChange({ stepMs });
          return text === '' || stepMs !== null;
        }} />
      )}
      {panel.tab === 'graph' && (
        <Switch label="Stacked" checked={panel.isStacked} onChange={(e) => onChange({ isStacked: e.currentTarget.checked })} style={{ alignSelf: 'center' }} />
      )}
    </div>
  );
}

/** A text that counts when Enter is pressed or the field is left; what cannot be read is marked. */
function Field(props: { label: string; value: string; placeholder?: string; width: number; onCommit: (text: string) => boolean }) {
  const [text, setText] = useState(props.value);
  const [isBad, setBad] = useState(false);
  useEffect(() => setText(props.value), [props.value]);
  const commit = () => text.trim() !== props.value && setBad(!props.onCommit(text.trim()));
  return (
    <TextInput
      aria-label={props.label}
      value={text}
      placeholder={props.placeholder ?? ''}
      error={isBad}
      w={props.width}
      onChange={(e) => (setText(e.currentTarget.value), setBad(false))}
      onBlur={commit}
      onKeyDown={(e) => e.key === 'Enter' && commit()}
    />
  );
}

async function run(panel: PanelState, signal: AbortSignal): Promise<Ran> {
  const began = performance.now();
  const stepMs = stepOf(panel);
  const isRange = panel.tab !== 'table';
  // Aligned to the resolution, so that a moving end does not make the lines dance.
  const endMs = isRange ? Math.floor((panel.endMs ?? Date.now()) / stepMs) * stepMs : (panel.endMs ?? Date.now());
  const startMs = isRange ? endMs - Math.floor(panel.rangeMs / stepMs) * stepMs : endMs;
  const shared = { query: panel.expr, stats: 'all', limit: SERIES_MAX, explain: panel.tab === 'explain' ? 'true' : undefined };
  const options = { signal, method: 'POST' as const };
  const answer = isRange
    ? await ask<QueryResult>('query_range', { ...shared, start: startMs / 1000, end: endMs / 1000, step: stepMs / 1000 }, options)
    : await ask<QueryResult>('query', { ...shared, time: panel.endMs === null ? undefined : endMs / 1000 }, options);
  return { answer, startMs, endMs, stepMs, tookMs: performance.now() - began };
}
