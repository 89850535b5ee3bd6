/* The search of the site from file://, where browsers start no worker: the worker's script runs in a frame. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      this.ready = new Promise((started) => {
        frame.addEventListener("load", () => {
          const inside = frame.contentWindow;
          // What a worker posts goes to whoever made it; in a frame it would go to the frame itself.
          inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          const script = inside.document.createElement("script");
          script.addEventListener("load", () => started(inside));
          script.src = url;
          inside.document.body.append(script);
        });
      });
      frame.srcdoc = "<!doctype html><body></body>";
      document.documentElement.append(frame);
    }

    postMessage(data) {
      this.ready.then((inside) => inside.dispatchEvent(new inside.MessageEvent("message", { data })));
    }

    terminate() {}
  };
}
