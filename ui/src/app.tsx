// The frame around all pages: header, navigation, and which page is shown.

import { ActionIcon, AppShell, Burger, NavLink, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { lazy, Suspense, useEffect, useRef } from 'react';
import { Link, Navigate, Route, Routes, useLocation } from 'react-router';

import { useApi } from './api';
import { Boundary, Loading } from './parts';

interface Place {
  path: string;
  title: string;
  page: ReturnType<typeof lazy>;
}

const SECTIONS: { title: string; places: Place[] }[] = [
  {
    title: 'Explore',
    places: [
      { path: '/query', title: 'Query', page: lazy(() => import('./pages/query')) },
      { path: '/queries', title: 'Active queries', page: lazy(() => import('./pages/queries')) },
      { path: '/cardinality', title: 'Cardinality', page: lazy(() => import('./pages/cardinality')) },
    ],
  },
  {
    title: 'Collect',
    places: [
      { path: '/targets', title: 'Targets', page: lazy(() => import('./pages/targets')) },
      { path: '/service-discovery', title: 'Service discovery', page: lazy(() => import('./pages/discovery')) },
      { path: '/rules', title: 'Rules', page: lazy(() => import('./pages/rules')) },
      { path: '/alerts', title: 'Alerts', page: lazy(() => import('./pages/alerts')) },
    ],
  },
  {
    title: 'Cluster',
    places: [
      { path: '/cluster', title: 'Members and shards', page: lazy(() => import('./pages/cluster')) },
      { path: '/blocks', title: 'Blocks', page: lazy(() => import('./pages/blocks')) },
      { path: '/tsdb-status', title: 'TSDB status', page: lazy(() => import('./pages/tsdb')) },
    ],
  },
  {
    title: 'This process',
    places: [
      { path: '/status', title: 'Runtime and build', page: lazy(() => import('./pages/status')) },
      { path: '/flags', title: 'Flags', page: lazy(() => import('./pages/flags')) },
      { path: '/config', title: 'Configuration', page: lazy(() => import('./pages/config')) },
    ],
  },
];

const PLACES = SECTIONS.flatMap((section) => section.places);

export function App() {
  const [isOpen, menu] = useDisclosure(false);
  const { pathname } = useLocation();
  const { data } = useApi<{ name: string }>('status/cluster');
  const title = PLACES.find((place) => place.path === pathname)?.title ?? 'Not found';
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = `${title} · Norn`;
    // After following a link, the keyboard goes on from the new page.
    if (isFirst.current) isFirst.current = false;
    else main.current?.focus();
    menu.close();
  }, [pathname]);
  return (
    <AppShell
      header={{ height: 48 }}
      navbar={{ width: 208, breakpoint: 'sm', collapsed: { mobile: !isOpen } }}
      padding="md"
      transitionDuration={0}
    >
      <AppShell.Header px="md">
        <a className="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
          Skip to content
        </a>
        <div style={{ height: '100%', display: 'flex', alignItems: 'center', gap: 12 }}>
          <Burger opened={isOpen} onClick={menu.toggle} hiddenFrom="sm" size="sm" aria-label="Navigation" />
          <Link to="/query" style={{ display: 'flex', gap: 10, alignItems: 'center', color: 'inherit', textDecoration: 'none' }}>
            <Logo />
            <strong>Norn</strong>
          </Link>
          {data?.data.name && <span className="label">{data.data.name}</span>}
          <span style={{ flex: 1 }} />
          <ThemeSwitch />
        </div>
      </AppShell.Header>
      <AppShell.Navbar p="xs" style={{ overflowY: 'auto' }} aria-label="Pages">
        {SECTIONS.map((section) => (
          <div key={section.title} role="group" aria-label={section.title} style={{ marginBottom: 10 }}>
            <div style={{ padding: '2px 12px', fontSize: 12, fontWeight: 600, color: 'var(--mantine-color-dimmed)' }}>
              {section.title}
            </div>
            {section.places.map((place) => (
              <NavLink
                key={place.path}
                component={Link}
                to={place.path}
                label={place.title}
                active={pathname === place.path}
                variant="filled"
                aria-current={pathname === place.path ? 'page' : undefined}
                style={{ borderRadius: 6, padding: '5px 12px' }}
              />
            ))}
          </div>
        ))}
      </AppShell.Navbar>
      <AppShell.Main id="main" ref={main} tabIndex={-1} style={{ outline: 'none' }}>
        <Boundary key={pathname}>
          <Suspense fallback={<Loading />}>
            <Routes>
              {PLACES.map(({ path, page: Page }) => (
                <Route key={path} path={path} element={<Page />} />
              ))}
              <Route path="/" element={<Navigate to="/query" replace />} />
              <Route path="*" element={<p>There is no page here.</p>} />
            </Routes>
          </Suspense>
        </Boundary>
      </AppShell.Main>
    </AppShell>
  );
}

function Logo() {
  return (
    <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#3b4cb8" />
      <path d="M9 23V9l14 14V9" fill="none" stroke="#fff" strokeWidth="3.2" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}

function ThemeSwitch() {
  const { setColorScheme } = useMantineColorScheme();
  const isDark = useComputedColorScheme('light') === 'dark';
  const label = isDark ? 'Light colours' : 'Dark colours';
  return (
    <ActionIcon variant="default" size="lg" onClick={() => setColorScheme(isDark ? 'light' : 'dark')} aria-label={label} title={label}>
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" strokeWidth="1.5" />
        <path d="M8 1.8a6.2 6.2 0 0 1 0 12.4z" fill="currentColor" />
      </svg>
    </ActionIcon>
  );
}
