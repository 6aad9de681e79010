/**
 * The part of xml2js that interfaceXml.ts uses: it comes without types of its own.
 */
declare module 'xml2js' {
  /** With `async: false` the callback is called before the function returns. */
  export function parseString(
    xml: string,
    options: { readonly async: false; readonly explicitArray: true },
    callback: (error: Error | null, document: unknown) => void,
  ): void;
}
