// The configuration that this process runs with.

import { useApi } from '../api';
import { Answered, Card, Empty, Page } from '../parts';

export default function ConfigPage() {
  const config = useApi<{ yaml: string }>('status/config');
  return (
    <Page title="Configuration">
      <Card>
        <Answered of={config}>
          {({ yaml }) =>
            yaml ? (
              <pre className="yaml mono" role="region" tabIndex={0} aria-label="Configuration as YAML">
                {yaml}
              </pre>
            ) : (
              <Empty title="This server does not tell its configuration">It is in the file that --config.file names.</Empty>
            )
          }
        </Answered>
      </Card>
    </Page>
  );
}
