// The query page: one panel or several, all of it in the address bar.

import { Button } from '@mantine/core';
import { useMemo } from 'react';
import { useSearchParams } from 'react-router';

import { Page } from '../parts';
import { Panel } from '../query/panel';
import { FRESH, type PanelState, readPanels, writePanels } from '../query/state';

export default function QueryPage() {
  const [params, setParams] = useSearchParams();
  const panels = useMemo(() => readPanels(params), [params]);
  const set = (next: PanelState[]) => setParams(writePanels(next));
  const change = (at: number, part: Partial<PanelState>) =>
    set(panels.map((panel, index) => (index === at ? { ...panel, ...part } : panel)));
  return (
    <Page title="Query">
      {panels.map((panel, at) => (
        <Panel
          key={at}
          panel={panel}
          isFirst={at === 0}
          onChange={(part) => change(at, part)}
          onRemove={panels.length > 1 ? () => set(panels.filter((_, index) => index !== at)) : undefined}
        />
      ))}
      <div>
        <Button variant="default" onClick={() => set([...panels, FRESH])}>
          Add a query
        </Button>
      </div>
    </Page>
  );
}
