import { render } from 'preact';
import { App } from './app';
import './page.css';
import { applied, theme } from './theme';

applied(theme());
render(<App />, document.getElementById('page')!);
