// What is in the heads, as Prometheus's page of the same name has it.

import { Link } from 'react-router';

import { type Count, type TsdbStatus, useApi } from '../api';
import { bytes, count, time } from '../format';
import { Answered, Card, DataTable, Page, Stats } from '../parts';

const EVERY_MS = 10_000;

export default function TsdbPage() {
  const status = useApi<TsdbStatus>('status/tsdb', {}, EVERY_MS);
  return (
    <Page title="TSDB status" aside={<Link to="/cardinality">Explore cardinality</Link>}>
      <Answered of={status}>
        {(told) => (
          <>
            <Stats
              of={[
                ['Series', count(told.headStats.numSeries)],
                ['Chunks', count(told.headStats.chunkCount)],
                ['Label pairs', count(told.headStats.numLabelPairs)],
                ['Oldest sample', <small>{range(told.headStats.minTime)}</small>],
                ['Newest sample', <small>{range(told.headStats.maxTime)}</small>],
              ]}
            />
            <Top title="Metrics with the most series" of={told.seriesCountByMetricName} unit="Series" />
            <Top title="Labels with the most values" of={told.labelValueCountByLabelName} unit="Values" />
            <Top title="Labels whose values take the most memory" of={told.memoryInBytesByLabelName} unit="Memory" show={bytes} />
            <Top title="Label pairs with the most series" of={told.seriesCountByLabelValuePair} unit="Series" />
          </>
        )}
      </Answered>
    </Page>
  );
}

/** Heads without samples have the ends of time. */
function range(ms: number): string {
  return Math.abs(ms) > 1e15 ? 'none' : time(ms);
}

function Top({ title, of, unit, show = count }: { title: string; of: Count[]; unit: string; show?: (value: number) => string }) {
  return (
    <Card title={title}>
      <DataTable
        label={title}
        rows={of}
        id={(one) => one.name}
        columns={[
          { title: 'Name', cell: (one) => <span className="mono">{one.name}</span>, sort: (one) => one.name },
          { title: unit, isNumber: true, cell: (one) => show(one.value), sort: (one) => one.value },
        ]}
      />
    </Card>
  );
}
