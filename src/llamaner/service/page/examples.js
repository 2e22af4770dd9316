// Texts to try; all of them invented.
export const EXAMPLES = [
  ["News", "Yesterday Amira Haddad of the Nordwind Institute flew from Oslo to Nairobi. The Kenyan engineer will open the Lakeside Festival with Mayor Tomas Lindqvist on Sunday."],
  ["Sport", "Brasov beat Valparaíso 3-1 in the second round of the Harbour Cup. Ioana Petrescu scored twice for the Romanian side before 12,000 spectators in Lyon.\n\nSAILING - TANAKA WINS IN AUCKLAND\n\nJapan's Hiro Tanaka took the last race ahead of Team Fjord."],
  ["Business", "Shares of Meridian Foods fell 4% in Zurich after the company said that it will close its plant in Gdańsk. Chief executive Lucía Ferrer told the Helsingford Courier that 300 people are affected."],
];
