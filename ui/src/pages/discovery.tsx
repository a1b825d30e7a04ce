// What was discovered, with the labels before relabeling and what relabeling made of them.

import { TextInput } from '@mantine/core';
import { useState } from 'react';

import { type Labels, type Targets, useApi } from '../api';
import { plural } from '../format';
import { Answered, Card, type Column, DataTable, Empty, LabelList, Page, Pill } from '../parts';

const EVERY_MS = 15_000;

interface Found {
  pool: string;
  discovered: Labels;
  labels: Labels | null;
}

const COLUMNS: Column<Found>[] = [
  { title: 'Discovered labels', cell: (found) => <LabelList labels={found.discovered} />, sort: (found) => found.discovered.__address__ ?? '' },
  {
    title: 'After relabeling',
    cell: (found) => (found.labels ? <LabelList labels={found.labels} /> : <Pill tone="warn">dropped</Pill>),
    sort: (found) => (found.labels ? 0 : 1),
  },
];

export default function DiscoveryPage() {
  const [text, setText] = useState('');
  const targets = useApi<Targets>('targets', {}, EVERY_MS);
  return (
    <Page title="Service discovery">
      <Answered of={targets}>
        {(told) => {
          const all: Found[] = [
            ...told.activeTargets.map((one) => ({ pool: one.scrapePool, discovered: one.discoveredLabels, labels: one.labels })),
            ...told.droppedTargets.map((one) => ({ pool: one.scrapePool, discovered: one.discoveredLabels, labels: null })),
          ];
          if (all.length === 0) return <Empty title="Nothing was discovered">Name targets under scrape_configs in the configuration file.</Empty>;
          const found = all.filter((one) => JSON.stringify([one.discovered, one.labels]).toLowerCase().includes(text.toLowerCase()));
          const pools = [...new Set(found.map((one) => one.pool))].sort();
          return (
            <>
              <TextInput label="Filter" placeholder="part of a label or value" value={text} onChange={(e) => setText(e.currentTarget.value)} maw={420} />
              {pools.length === 0 && <Empty title="Nothing matches the filter" />}
              {pools.map((pool) => {
                const rows = found.filter((one) => one.pool === pool);
                const dropped = rows.filter((one) => one.labels === null).length;
                return (
                  <Card key={pool} title={pool} aside={`${plural(rows.length - dropped, 'target')} scraped, ${dropped} dropped`}>
                    <DataTable label={`Discovered for ${pool}`} rows={rows} columns={COLUMNS} id={(_, at) => String(at)} />
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
