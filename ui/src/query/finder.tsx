// Two lists beside the editor: the metrics that there are, and the queries of before.

import { TextInput } from '@mantine/core';
import { useDeferredValue, useState } from 'react';

import { useApi } from '../api';
import { Answered, Empty } from '../parts';
import { readHistory } from './state';

/** How many names are asked for, and how many are shown of them. */
const NAMES_MAX = 10_000;
const SHOWN_MAX = 200;

export function Metrics({ onPick }: { onPick: (name: string) => void }) {
  const [text, setText] = useState('');
  const wanted = useDeferredValue(text.toLowerCase().split(/\s+/).filter(Boolean));
  const names = useApi<string[]>('label/__name__/values', { limit: NAMES_MAX });
  const metadata = useApi<Record<string, { type: string; help: string }[]>>('metadata', { limit: NAMES_MAX });
  const family = (name: string) => {
    const known = metadata.data?.data;
    return known?.[name]?.[0] ?? known?.[name.replace(/_(bucket|count|sum|total)$/, '')]?.[0];
  };
  return (
    <div className="card" style={{ marginTop: '0.6rem' }}>
      <TextInput label="Find a metric" placeholder="words of its name or help" value={text} onChange={(e) => setText(e.currentTarget.value)} autoFocus />
      <Answered of={names}>
        {(all) => {
          const isMeant = (name: string) => {
            const described = `${name} ${family(name)?.help ?? ''}`.toLowerCase();
            return wanted.every((word) => described.includes(word));
          };
          const found = all.filter(isMeant);
          if (found.length === 0) return <Empty title="No metric matches">Nothing was scraped or written yet, or the words are others.</Empty>;
          return (
            <div className="series-list" role="group" aria-label="Metrics" tabIndex={0} style={{ marginTop: '0.5rem' }}>
              {found.slice(0, SHOWN_MAX).map((name) => (
                <button key={name} type="button" onClick={() => onPick(name)}>
                  <span className="mono">{name}</span>
                  <span style={{ color: 'var(--mantine-color-dimmed)', fontSize: '0.8rem' }}>
                    {family(name)?.type} {family(name)?.help}
                  </span>
                </button>
              ))}
              {found.length > SHOWN_MAX && <div>{found.length - SHOWN_MAX} more; add a word.</div>}
            </div>
          );
        }}
      </Answered>
    </div>
  );
}

export function History({ onPick }: { onPick: (expr: string) => void }) {
  const entries = readHistory();
  return (
    <div className="card" style={{ marginTop: '0.6rem' }}>
      {entries.length === 0 ? (
        <Empty title="No queries yet">What you run here is remembered in this browser.</Empty>
      ) : (
        <div className="series-list" role="group" aria-label="Earlier queries" tabIndex={0}>
          {entries.map((expr) => (
            <button key={expr} type="button" onClick={() => onPick(expr)}>
              <span className="mono">{expr}</span>
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
