// The queries that run or wait at this querier, and how to stop one.

import { Button } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link } from 'react-router';

import { type ActiveQuery, ask, useApi } from '../api';
import { bytes, count, seconds } from '../format';
import { Answered, Card, type Column, DataTable, Empty, Fault, Page, Pill, Stats } from '../parts';

const EVERY_MS = 1000;

export default function QueriesPage() {
  const client = useQueryClient();
  const active = useApi<ActiveQuery[]>('status/active_queries', {}, EVERY_MS);
  const cancel = useMutation({
    mutationFn: (id: number) => ask(`status/active_queries/${id}/cancel`, {}, { method: 'POST' }),
    onSettled: () => client.invalidateQueries({ queryKey: ['status/active_queries'] }),
  });
  const columns: Column<ActiveQuery>[] = [
    { title: 'Query', cell: (query) => <span className="mono">{query.query}</span> },
    { title: 'State', cell: (query) => <Pill tone={query.state === 'running' ? 'good' : 'warn'}>{query.state}</Pill>, sort: (query) => query.state },
    { title: 'For', isNumber: true, cell: (query) => seconds(query.durationSeconds), sort: (query) => query.durationSeconds },
    { title: 'Samples read', isNumber: true, cell: (query) => count(query.samplesRead), sort: (query) => query.samplesRead },
    { title: 'Memory', isNumber: true, cell: (query) => bytes(query.memoryBytes), sort: (query) => query.memoryBytes },
    {
      title: 'Stop',
      cell: (query) => (
        <Button size="compact-sm" variant="default" onClick={() => cancel.mutate(query.id)} aria-label={`Cancel query ${query.id}`}>
          Cancel
        </Button>
      ),
    },
  ];
  return (
    <Page title="Active queries">
      {cancel.error && <Fault error={cancel.error} title="The query was not cancelled" />}
      <div role="status" aria-live="polite" className="visually-hidden">{cancel.isSuccess ? 'The query was cancelled.' : ''}</div>
      <Answered of={active}>
        {(queries) => (
          <>
            <Stats
              of={[
                ['Running', count(queries.filter((query) => query.state === 'running').length)],
                ['Waiting', count(queries.filter((query) => query.state === 'waiting').length)],
                ['Memory of all', bytes(queries.reduce((sum, query) => sum + query.memoryBytes, 0))],
              ]}
            />
            <Card title="Now" aside="Asked each second">
              {queries.length === 0 ? (
                <Empty title="No query is running">
                  Those of this querier show up here while they run. <Link to="/query">Run one</Link>.
                </Empty>
              ) : (
                <DataTable label="Active queries" rows={queries} columns={columns} id={(query) => String(query.id)} />
              )}
            </Card>
          </>
        )}
      </Answered>
    </Page>
  );
}
