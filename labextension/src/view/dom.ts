/** Making and changing elements; text is only ever set as text. */

/** A new element of our own class, inside `parent`. */
export function made<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  name: string,
  parent: Element | null = null
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  element.className = `jp-tasks-${name}`;
  parent?.append(element);
  return element;
}

/** A button that the keyboard reaches. A double click is one: the second could mean something else by then. */
export function button(name: string, parent: Element, act: () => void): HTMLButtonElement {
  const element = made('button', name, parent);
  element.type = 'button';
  element.addEventListener('click', event => {
    if (event.detail <= 1) {
      act();
    }
  });
  return element;
}

/** Set the text where it differs: what stays the same is neither drawn nor read out again. */
export function say(element: HTMLElement, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
  element.hidden = text === '';
}

const NEAR_PX = 8;

/** Draw, and stay at the end of what is scrolled if that is where one was. */
export function following(scrolled: HTMLElement, draw: () => void): void {
  const { scrollTop, scrollHeight, clientHeight } = scrolled;
  const isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
  draw();
  if (isAtEnd) {
    scrolled.scrollTop = scrolled.scrollHeight;
  }
}
