// A query's result as a table: the alternative to the graph, and what copies well.

import { useMemo } from 'react';

import type { Histogram, Labels, QueryResult } from '../api';
import { selector, time } from '../format';
import { type Column, DataTable, Empty, LabelList } from '../parts';

/** How many points of one series a cell shows. */
const POINTS_MAX = 100;

interface Row {
  metric: Labels;
  points: [number, string | Histogram][];
}

export default function ResultTable({ result }: { result: QueryResult }) {
  const rows = useMemo(() => rowsOf(result), [result]);
  if (rows === null) {
    const [seconds, value] = result.result as [number, string];
    return (
      <p className="mono">
        {result.resultType === 'string' ? JSON.stringify(value) : value} @ {time(seconds * 1000)}
      </p>
    );
  }
  if (rows.length === 0) {
    return <Empty title="Nothing matches now">The selector matches no series with a sample in the last minutes. Look at another time, or list the metrics.</Empty>;
  }
  const isMatrix = result.resultType === 'matrix';
  const columns: Column<Row>[] = [
    {
      title: 'Series',
      cell: (row) => (
        <>
          {row.metric.__name__ && <strong className="mono">{row.metric.__name__} </strong>}
          <LabelList labels={row.metric} without={['__name__']} />
          {Object.keys(row.metric).length === 0 && <span className="mono">{'{}'}</span>}
        </>
      ),
      sort: (row) => selector(row.metric),
    },
    {
      title: isMatrix ? 'Values' : 'Value',
      isNumber: true,
      sort: (row) => {
        const value = row.points.at(-1)?.[1];
        return typeof value === 'string' ? Number(value.replace('Inf', 'Infinity')) : Number(value?.count ?? 0);
      },
      cell: (row) => (
        <>
          {row.points.slice(-POINTS_MAX).map(([seconds, value]) => (
            <div className="mono" key={seconds}>
              {typeof value === 'string' ? value : <Buckets of={value} />}
              {isMatrix && ` @ ${time(seconds * 1000)}`}
            </div>
          ))}
          {row.points.length > POINTS_MAX && <div>the last {POINTS_MAX} of {row.points.length}</div>}
        </>
      ),
    },
  ];
  return <DataTable label="Result" rows={rows} columns={columns} id={(row) => selector(row.metric)} />;
}

function Buckets({ of }: { of: Histogram }) {
  const ends = ['(]', '[)', '()', '[]'];
  return (
    <details>
      <summary>
        count {of.count}, sum {of.sum}
      </summary>
      {(of.buckets ?? []).map(([rule, low, high, count]) => (
        <div key={low}>
          {ends[rule]?.[0]}
          {low}, {high}
          {ends[rule]?.[1]} {count}
        </div>
      ))}
    </details>
  );
}

function rowsOf(result: QueryResult): Row[] | null {
  if (result.resultType === 'vector') {
    return result.result.map((one) => ({ metric: one.metric, points: one.value ? [one.value] : one.histogram ? [one.histogram] : [] }));
  }
  if (result.resultType === 'matrix') {
    return result.result.map((one) => ({ metric: one.metric, points: [...(one.values ?? []), ...(one.histograms ?? [])] }));
  }
  return null;
}
