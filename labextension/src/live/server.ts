/** The server that this page came from: the only one that is ever asked. No document can name another. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

/** A refusal in the server's own words. */
export class Refused extends Error {}

export type Action = 'cancel' | 'restart';

const NOT_THERE =
  'jupyter_tasks is not running on this server. Install it where Jupyter runs ' +
  '(pip install jupyter_tasks), then start the server anew.';
const NOT_YOU = 'The server does not know you any more. Reload the page, and log in again.';
const NO_ANSWER = 'The server does not answer. This view goes on by itself as soon as it does.';

/** What is below `tasks/api/`, by REST and by WebSocket. */
export class TasksServer {
  constructor(settings = ServerConnection.makeSettings()) {
    this._settings = settings;
  }

  /** Open the WebSocket. */
  open(): WebSocket {
    const { wsUrl, token, appendToken } = this._settings;
    const url = URLExt.join(wsUrl, 'tasks/api/ws');
    const query = appendToken && token ? `?token=${encodeURIComponent(token)}` : '';
    return new this._settings.WebSocket(url + query);
  }

  /** Do it to the job. Throws Refused with words for people. */
  async act(job: string, action: Action): Promise<void> {
    const response = await this._ask(`jobs/${encodeURIComponent(job)}/${action}`, 'POST');
    if (!response.ok) {
      throw new Refused(await words(response));
    }
  }

  /** Why no connection comes about, in words; null where the server answers as it should. */
  async explain(): Promise<string | null> {
    try {
      const response = await this._ask('status', 'GET');
      return response.ok ? null : await words(response);
    } catch (error) {
      return (error as Error).message;
    }
  }

  private async _ask(path: string, method: string): Promise<Response> {
    const url = URLExt.join(this._settings.baseUrl, 'tasks/api', path);
    try {
      return await ServerConnection.makeRequest(url, { method }, this._settings);
    } catch (error) {
      throw error instanceof ServerConnection.NetworkError ? new Refused(NO_ANSWER) : error;
    }
  }

  private readonly _settings: ServerConnection.ISettings;
}

async function words(response: Response): Promise<string> {
  const told = await message(response);
  if (told !== null) {
    return told;
  }
  if (response.status === 404) {
    return NOT_THERE;
  }
  const isUnknown = response.status === 401 || response.status === 403;
  return isUnknown ? NOT_YOU : `The server answers ${response.status} ${response.statusText}.`;
}

/** The message of an error in the one shape that jupyter_tasks gives all of them. */
async function message(response: Response): Promise<string | null> {
  const text = await response.text();
  try {
    const body = JSON.parse(text) as { code?: unknown; message?: unknown };
    return body.code !== undefined && typeof body.message === 'string' ? body.message : null;
  } catch {
    return null; // a proxy's page, or Jupyter's
  }
}
