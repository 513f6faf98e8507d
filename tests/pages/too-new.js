// What the oldest browsers lack, so that the test sees that it is found.
const word = "a".replaceAll("a", "b");
crypto.randomUUID();
URL.canParse(word);
/(?<=a)b/.test(word);

class Newer {
  last = [word].at(-1);
}
new Newer();
