// What is scraped: by job, with the last scrape of each target.

import { NativeSelect, TextInput } from '@mantine/core';
import { useDeferredValue } from 'react';
import { Link, useSearchParams } from 'react-router';

import { type Target, type Targets, useApi } from '../api';
import { ago, quoted, seconds } from '../format';
import { Answered, Card, type Column, DataTable, Empty, LabelList, Page, Pill } from '../parts';

const EVERY_MS = 5000;

const COLUMNS: Column<Target>[] = [
  {
    title: 'Endpoint',
    cell: (target) => (
      <>
        <a className="mono" href={target.globalUrl} rel="noreferrer">
          {target.scrapeUrl}
        </a>
        {target.lastError && (
          <div className="mono" style={{ color: 'var(--bad)' }}>
            {target.lastError}
          </div>
        )}
      </>
    ),
    sort: (target) => target.scrapeUrl,
  },
  { title: 'State', cell: (target) => <Pill tone={tone(target)}>{target.health}</Pill>, sort: (target) => target.health },
  { title: 'Labels', cell: (target) => <LabelList labels={target.labels} /> },
  { title: 'Last scrape', isNumber: true, cell: (target) => ago(target.lastScrape), sort: (target) => Date.parse(target.lastScrape) },
  { title: 'Took', isNumber: true, cell: (target) => seconds(target.lastScrapeDuration), sort: (target) => target.lastScrapeDuration },
  { title: 'Every', isNumber: true, cell: (target) => target.scrapeInterval },
  { title: 'By', cell: (target) => target.scraper ?? '', sort: (target) => target.scraper ?? '' },
];

function tone(target: Target) {
  return target.health === 'up' ? 'good' : target.health === 'down' ? 'bad' : 'warn';
}

export default function TargetsPage() {
  const [params, setParams] = useSearchParams();
  const [text, state, pool] = [params.get('search') ?? '', params.get('health') ?? '', params.get('pool') ?? ''];
  const set = (name: string, value: string) =>
    setParams(
      (old) => {
        if (value) old.set(name, value);
        else old.delete(name);
        return old;
      },
      { replace: true },
    );
  const words = useDeferredValue(text.toLowerCase().split(/\s+/).filter(Boolean));
  const targets = useApi<Targets>('targets', { state: 'active' }, EVERY_MS);
  return (
    <Page title="Targets">
      <Answered of={targets}>
        {({ activeTargets: all }) => {
          if (all.length === 0) {
            return <Empty title="Nothing is scraped">Name targets under scrape_configs in the file of --config.file, and start Norn again.</Empty>;
          }
          const pools = [...new Set(all.map((target) => target.scrapePool))].sort();
          const isMeant = (target: Target) => {
            const described = `${target.scrapeUrl} ${Object.entries(target.labels).map(([n, v]) => `${n}="${v}"`).join(' ')} ${target.lastError}`.toLowerCase();
            return (!state || target.health === state) && (!pool || target.scrapePool === pool) && words.every((word) => described.includes(word));
          };
          const found = all.filter(isMeant);
          return (
            <>
              <div className="toolbar">
                <TextInput className="grow" label="Filter" placeholder="words of the address, labels or error" value={text} onChange={(e) => set('search', e.currentTarget.value)} />
                <NativeSelect label="State" value={state} onChange={(e) => set('health', e.currentTarget.value)} data={[{ value: '', label: 'any' }, 'up', 'down', 'unknown']} />
                <NativeSelect label="Job" value={pool} onChange={(e) => set('pool', e.currentTarget.value)} data={[{ value: '', label: 'all' }, ...pools]} />
              </div>
              <div role="status" className="visually-hidden">{found.length} targets shown</div>
              {found.length === 0 && <Empty title="No target matches the filter">There are {all.length} in all.</Empty>}
              {pools.map((name) => {
                const rows = found.filter((target) => target.scrapePool === name);
                if (rows.length === 0) return null;
                const up = rows.filter((target) => target.health === 'up').length;
                return (
                  <Card
                    key={name}
                    title={name}
                    aside={
                      <span style={{ display: 'flex', gap: '0.8rem', alignItems: 'center' }}>
                        <Link to={`/query?${new URLSearchParams({ 'g0.expr': `up{job=${quoted(name)}}`, 'g0.tab': 'graph' })}`}>Graph of up</Link>
                        <Pill tone={up === rows.length ? 'good' : 'bad'}>
                          {up} of {rows.length} up
                        </Pill>
                      </span>
                    }
                  >
                    <DataTable label={`Targets of ${name}`} rows={rows} columns={COLUMNS} id={(target, at) => `${target.scrapeUrl} ${at}`} />
                  </Card>
                );
              })}
            </>
          );
        }}
      </Answered>
    </Page>
  );
}
