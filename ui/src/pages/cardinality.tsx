// Where the series come from: metrics, labels and pairs by their share, and the labels of one metric.

import { NativeSelect, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Link, useSearchParams } from 'react-router';

import { ask, type Count, type TsdbStatus, useApi, type VectorSample } from '../api';
import { count, labelName, quoted } from '../format';
import { Answered, Bar, Card, DataTable, Empty, Page, Stats } from '../parts';

const LIMITS = ['20', '100', '1000'];
/** How many labels of a metric are counted: one query each. */
const LABELS_MAX = 30;

export default function CardinalityPage() {
  const [params, setParams] = useSearchParams();
  const [limit, setLimit] = useState(LIMITS[0]!);
  const [text, setText] = useState('');
  const metric = params.get('metric') ?? '';
  const choose = (name: string) => setParams(name ? { metric: name } : {});
  const status = useApi<TsdbStatus>('status/tsdb', { limit });
  return (
    <Page title="Cardinality">
      <Answered of={status}>
        {(told) => {
          const total = told.headStats.numSeries;
          if (total === 0) return <Empty title="No series yet">Let something be scraped, or send samples by remote write.</Empty>;
          const isMeant = (one: Count) => one.name.toLowerCase().includes(text.toLowerCase());
          return (
            <>
              <Stats of={[['Series in heads', count(total)], ['Label pairs', count(told.headStats.numLabelPairs)], ['Chunks', count(told.headStats.chunkCount)]]} />
              <div className="toolbar">
                <TextInput className="grow" label="Filter" placeholder="part of a name" value={text} onChange={(e) => setText(e.currentTarget.value)} />
                <NativeSelect label="Rows of each list" value={limit} onChange={(e) => setLimit(e.currentTarget.value)} data={LIMITS} />
              </div>
              {metric && <Metric name={metric} onClose={() => choose('')} />}
              <Share title="Metrics" of={told.seriesCountByMetricName.filter(isMeant)} total={total} unit="Series" onChoose={choose} />
              <Share title="Label pairs" of={told.seriesCountByLabelValuePair.filter(isMeant)} total={total} unit="Series" />
              <Share title="Labels by number of values" of={told.labelValueCountByLabelName.filter(isMeant)} total={null} unit="Values" />
            </>
          );
        }}
      </Answered>
    </Page>
  );
}

function Share(props: { title: string; of: Count[]; total: number | null; unit: string; onChoose?: (name: string) => void }) {
  const { title, of, total, unit, onChoose } = props;
  const max = Math.max(...of.map((one) => one.value), 0);
  const name = (one: Count) =>
    onChoose ? (
      <button type="button" className="plain-button mono" onClick={() => onChoose(one.name)}>
        {one.name}
      </button>
    ) : (
      <span className="mono">{one.name}</span>
    );
  return (
    <Card title={title} aside={onChoose && 'Press a name to see its labels'}>
      <DataTable
        label={title}
        rows={of}
        id={(one) => one.name}
        columns={[
          { title: 'Name', cell: name, sort: (one) => one.name },
          { title: unit, isNumber: true, cell: (one) => count(one.value), sort: (one) => one.value },
          {
            title: total === null ? 'Of the most' : 'Share of all series',
            cell: (one) => (
              <div style={{ display: 'flex', gap: 8, alignItems: 'center', minWidth: 160 }}>
                <div style={{ flex: 1 }}>
                  <Bar value={one.value} max={total ?? max} />
                </div>
                {total !== null && <span style={{ minWidth: 56, textAlign: 'right' }}>{((100 * one.value) / total).toFixed(1)} %</span>}
              </div>
            ),
          },
        ]}
      />
    </Card>
  );
}

/** The labels of one metric by how many values they have: what to drop or aggregate away. */
function Metric({ name, onClose }: { name: string; onClose: () => void }) {
  const selector = `{__name__=${quoted(name)}}`;
  const labels = useQuery({
    queryKey: ['labels of', name],
    queryFn: async ({ signal }) => {
      const found = await ask<string[]>('labels', { 'match[]': selector }, { signal });
      const names = found.data.filter((label) => label !== '__name__').slice(0, LABELS_MAX);
      const counts = await Promise.all(
        names.map(async (label): Promise<Count> => {
          const query = `count(count by (${labelName(label)}) (${selector}))`;
          const answer = await ask<{ result: VectorSample[] }>('query', { query }, { signal });
          return { name: label, value: Number(answer.data.result[0]?.value?.[1] ?? 0) };
        }),
      );
      counts.sort((a, b) => b.value - a.value);
      return { data: counts, warnings: found.warnings };
    },
  });
  const growth = `count(${selector})`;
  return (
    <Card
      title={`Labels of ${name}`}
      aside={
        <span style={{ display: 'flex', gap: '1rem' }}>
          <Link to={`/query?${new URLSearchParams({ 'g0.expr': growth, 'g0.tab': 'graph', 'g0.range_input': '1d' })}`}>Growth over a day</Link>
          <button type="button" className="plain-button" onClick={onClose}>
            Close
          </button>
        </span>
      }
    >
      <Answered of={labels}>
        {(counts) => (
          <DataTable
            label={`Labels of ${name}`}
            rows={counts}
            id={(one) => one.name}
            columns={[
              { title: 'Label', cell: (one) => <span className="mono">{one.name}</span>, sort: (one) => one.name },
              { title: 'Values now', isNumber: true, cell: (one) => count(one.value), sort: (one) => one.value },
              {
                title: 'Look',
                cell: (one) => (
                  <Link to={`/query?${new URLSearchParams({ 'g0.expr': `topk(20, count by (${labelName(one.name)}) (${selector}))`, 'g0.tab': 'table' })}`}>
                    values with the most series
                  </Link>
                ),
              },
            ]}
          />
        )}
      </Answered>
    </Card>
  );
}
