// The command line flags of this process with their values.

import { TextInput } from '@mantine/core';
import { useState } from 'react';

import { useApi } from '../api';
import { Answered, Card, DataTable, Empty, Page } from '../parts';

export default function FlagsPage() {
  const [text, setText] = useState('');
  const flags = useApi<Record<string, string>>('status/flags');
  return (
    <Page title="Flags">
      <TextInput label="Filter" placeholder="part of a name or value" value={text} onChange={(e) => setText(e.currentTarget.value)} maw={420} />
      <Card>
        <Answered of={flags}>
          {(all) => {
            const rows = Object.entries(all).filter((entry) => entry.join('=').toLowerCase().includes(text.toLowerCase()));
            if (rows.length === 0) return <Empty title="No flag matches" />;
            return (
              <DataTable
                label="Flags"
                rows={rows}
                id={([name]) => name}
                columns={[
                  { title: 'Flag', cell: ([name]) => <span className="mono">--{name}</span>, sort: ([name]) => name },
                  { title: 'Value', cell: ([, value]) => <span className="mono">{value || '""'}</span>, sort: ([, value]) => value },
                ]}
              />
            );
          }}
        </Answered>
      </Card>
    </Page>
  );
}
