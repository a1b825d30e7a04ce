// Small parts that the pages share.

import { Alert, Button, Loader } from '@mantine/core';
import { Component, type ReactNode, useState } from 'react';

import { ApiError, type Labels } from './api';

export function Loading({ what = 'Loading' }: { what?: string }) {
  return (
    <div className="empty" role="status">
      <Loader size="sm" aria-hidden="true" />
      <div>{what}…</div>
    </div>
  );
}

/** An error in full: what the server said, and of which kind it is. */
export function Fault({ error, title = 'This could not be loaded' }: { error: unknown; title?: string }) {
  const kind = error instanceof ApiError ? `${error.kind}${error.status ? `, HTTP ${error.status}` : ''}` : 'in the page';
  const text = error instanceof Error ? error.message : String(error);
  return (
    <Notice tone="bad" title={`${title} (${kind})`} isUrgent>
      <span className="mono" style={{ whiteSpace: 'pre-wrap' }}>
        {text}
      </span>
    </Notice>
  );
}

export function Notice(props: { tone: 'bad' | 'warn' | 'plain'; title?: string; children: ReactNode; isUrgent?: boolean }) {
  const { tone, title, children, isUrgent } = props;
  return (
    <Alert
      role={isUrgent ? 'alert' : 'note'}
      title={title}
      styles={{
        root: { background: `var(--${tone}-soft)`, color: `var(--${tone})`, padding: '0.6rem 0.9rem' },
        title: { color: 'inherit' },
        message: { color: 'inherit' },
      }}
    >
      {children}
    </Alert>
  );
}

export function Warnings({ texts }: { texts: string[] | undefined }) {
  if (!texts?.length) return null;
  return (
    <Notice tone="warn" title={texts.length === 1 ? 'Warning' : `${texts.length} warnings`}>
      {texts.map((text) => (
        <div key={text}>{text}</div>
      ))}
    </Notice>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      {children}
    </div>
  );
}

export function Page({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <div style={{ display: 'grid', gap: '1rem', gridTemplateColumns: 'minmax(0, 1fr)' }}>
      <div style={{ display: 'flex', alignItems: 'baseline', gap: '1rem', flexWrap: 'wrap' }}>
        <h1 style={{ fontSize: '1.35rem', margin: 0 }}>{title}</h1>
        {aside}
      </div>
      {children}
    </div>
  );
}

/** What an endpoint answered, or why it did not; what was there before stays visible beside an error. */
export function Answered<T>(props: {
  of: { data: { data: T; warnings: string[] } | undefined; error: unknown; dataUpdatedAt: number };
  children: (data: T) => ReactNode;
}) {
  const { data, error } = props.of;
  if (!data) return error ? <Fault error={error} /> : <Loading />;
  return (
    <>
      {error ? <Fault error={error} title="Not updated since the last answer" /> : null}
      <Warnings texts={data.warnings} />
      {props.children(data.data)}
    </>
  );
}

export function Card({ title, aside, children }: { title?: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <section className="card" aria-label={title}>
      {title && (
        <div style={{ display: 'flex', justifyContent: 'space-between', gap: '1rem', marginBottom: '0.6rem', flexWrap: 'wrap' }}>
          <h2 style={{ fontSize: '1rem', margin: 0 }}>{title}</h2>
          <span style={{ fontSize: '0.85rem', color: 'var(--mantine-color-dimmed)' }}>{aside}</span>
        </div>
      )}
      {children}
    </section>
  );
}

export function Stats({ of }: { of: [string, ReactNode][] }) {
  return (
    <dl className="stats">
      {of.map(([name, value]) => (
        <div className="card stat" key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Pill({ tone = '', children }: { tone?: 'good' | 'bad' | 'warn' | ''; children: ReactNode }) {
  return <span className={`pill ${tone}`}>{children}</span>;
}

export function LabelList({ labels, without = [] }: { labels: Labels; without?: string[] }) {
  const shown = Object.entries(labels).filter(([name]) => !without.includes(name));
  return (
    <>
      {shown.map(([name, value]) => (
        <span className="label" key={name}>
          {name}=&quot;{value}&quot;
        </span>
      ))}
    </>
  );
}

export interface Column<T> {
  title: string;
  cell: (row: T) => ReactNode;
  /** By what rows are sorted when the column's title is pressed. */
  sort?: (row: T) => number | string;
  isNumber?: boolean;
}

/** How many rows a table shows at first; more on demand. */
const ROWS = 200;

/** A table whose columns sort and whose rows are cut, with a word about it. */
export function DataTable<T>(props: {
  label: string;
  rows: T[];
  columns: Column<T>[];
  id: (row: T, at: number) => string;
  chosen?: string | undefined;
}) {
  const { label, rows, columns, id, chosen } = props;
  const [order, setOrder] = useState<{ at: number; isDown: boolean } | null>(null);
  const [rowsMax, setRowsMax] = useState(ROWS);
  const by = order ? columns[order.at]?.sort : undefined;
  const sorted = by
    ? [...rows].sort((a, b) => {
        const [x, y] = [by(a), by(b)];
        const sign = x < y ? -1 : x > y ? 1 : 0;
        return order!.isDown ? -sign : sign;
      })
    : rows;
  const press = (at: number) =>
    setOrder((old) => (old?.at === at ? { at, isDown: !old.isDown } : { at, isDown: columns[at]?.isNumber ?? false }));
  return (
    <div className="table-wrap" role="group" aria-label={label} tabIndex={0}>
      <table className="data">
        <thead>
          <tr>
            {columns.map((column, at) => {
              const isSorted = order?.at === at;
              const sortedAs = isSorted ? (order.isDown ? 'descending' : 'ascending') : 'none';
              return (
                <th key={column.title} scope="col" className={column.isNumber ? 'num' : ''} aria-sort={column.sort ? sortedAs : undefined}>
                  {column.sort ? (
                    <button type="button" onClick={() => press(at)}>
                      {column.title}
                      <span aria-hidden="true">{isSorted ? (order.isDown ? ' ↓' : ' ↑') : ''}</span>
                    </button>
                  ) : (
                    column.title
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {sorted.slice(0, rowsMax).map((row, at) => {
            const key = id(row, at);
            return (
              <tr key={key} className={chosen === key ? 'chosen' : ''}>
                {columns.map((column) => (
                  <td key={column.title} className={column.isNumber ? 'num' : ''}>
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
      {rows.length > rowsMax && (
        <div style={{ padding: '0.6rem', display: 'flex', gap: '1rem', alignItems: 'center' }}>
          {rowsMax} of {rows.length} rows.
          <Button size="compact-sm" variant="default" onClick={() => setRowsMax(rowsMax * 5)}>
            Show more
          </Button>
        </div>
      )}
    </div>
  );
}

/** A share of the largest, drawn. */
export function Bar({ value, max }: { value: number; max: number }) {
  return (
    <div className="bar" aria-hidden="true">
      <span style={{ width: `${max > 0 ? Math.max(1, (100 * value) / max) : 0}%` }} />
    </div>
  );
}

/** Keeps a fault of one page from taking the frame with it, and shows it. */
export class Boundary extends Component<{ children: ReactNode }, { error: unknown }> {
  override state: { error: unknown } = { error: null };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render() {
    return this.state.error ? <Fault error={this.state.error} title="This page failed" /> : this.props.children;
  }
}
